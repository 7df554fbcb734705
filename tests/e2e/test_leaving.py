"""How the process ends: all output and all that was registered for the end, whatever the interpreter does not do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import environment

SIZE = 3_000_000  # more than a pipe or a buffer holds
BUFFERED = {"PYTHONUNBUFFERED": ""}  # as for a user, wherever the tests run
# The program with a command that does `body`, and something that says when the interpreter is taken apart.
SCRIPT = """
import atexit, os, sys, threading, time, tempfile, logging, logging.handlers
import vidsearch.cli.app as app
class Loud:
    def __del__(self, write=os.write):
        write(2, b"taken apart;")
sys.kept = Loud()
def run():
{body}
app.run = run
import vidsearch.__main__ as program
{end}
"""
MODULE, CONSOLE_SCRIPT = "program.main()", "sys.exit(program.main())"


def ended(body: str, end: str = MODULE, *, options: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *options, "-c", script(body, end)]
    return subprocess.run(
        command, env=environment(BUFFERED), stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
    )


def script(body: str, end: str = MODULE) -> str:
    return SCRIPT.format(body="\n".join(f"    {line}" for line in body.splitlines()), end=end)


@pytest.mark.parametrize("end", [MODULE, CONSOLE_SCRIPT], ids=["module", "console-script"])
@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_the_exit_code_is_that_of_the_command(code: int, end: str) -> None:
    done = ended(f"return {code}", end)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_what_was_written_arrives_whole_in_a_pipe_and_in_a_file(tmp_path: Path) -> None:
    body = f"sys.stdout.write('x' * {SIZE})\nsys.stderr.write('y' * 100)\nreturn 0"
    done = ended(body)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, SIZE, b"y" * 100)
    with (tmp_path / "out").open("wb") as out:
        subprocess.run(
            [sys.executable, "-c", script(body)], env=environment(BUFFERED), stdout=out, check=True, timeout=60
        )
    assert (tmp_path / "out").stat().st_size == SIZE


def test_what_was_registered_for_the_end_runs_last_first() -> None:
    done = ended("atexit.register(print, 'first')\natexit.register(print, 'second')\nreturn 0")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"second\nfirst\n", b"")


def test_temporary_folders_go_and_log_lines_that_are_kept_back_arrive() -> None:
    done = ended(
        "run.folder = tempfile.TemporaryDirectory()\n"
        "logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=logging.StreamHandler(sys.stderr)))\n"
        "logging.warning('kept back')\n"
        "print(run.folder.name)\n"
        "return 0"
    )
    assert done.returncode == 0
    assert not Path(done.stdout.decode().strip()).exists()
    assert b"kept back\n" in done.stderr and b"taken apart;" not in done.stderr


def test_a_thread_that_still_runs_is_waited_for() -> None:
    done = ended("threading.Timer(0.3, print, ['late']).start()\nreturn 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"late\n", b"taken apart;")


def test_where_torch_was_imported_it_is_taken_apart_as_well() -> None:
    done = ended("import types\nsys.modules['torch'] = types.ModuleType('torch')\nreturn 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"taken apart;")


def test_a_bug_is_a_traceback() -> None:
    done = ended("print('before')\nraise RuntimeError('a bug')")
    assert (done.returncode, done.stdout) == (1, b"before\n")
    assert done.stderr.startswith(b"Traceback") and b"RuntimeError: a bug\n" in done.stderr


def test_a_reader_who_left_is_no_error_of_the_end() -> None:
    """The streams take no more; it is what it would be without our step: Python's own last word."""
    process = subprocess.Popen(
        [sys.executable, "-c", script("sys.stdout.write('x')\nreturn 0")],
        env=environment(BUFFERED),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 120 and b"BrokenPipeError" in error


def test_python_that_is_to_go_on_does() -> None:
    assert b"taken apart;" in ended("return 0", options=["-i"]).stderr


def test_a_profiler_gets_its_turn() -> None:
    command = [sys.executable, "-m", "cProfile", "-m", "vidsearch", "--version"]
    done = subprocess.run(command, env=environment(BUFFERED), capture_output=True, check=True, timeout=60)
    assert b"function calls" in done.stdout
