"""The process itself: full disks, closed descriptors, closed pipes, odd locales, Ctrl-C before anything is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import CLIPS, PROGRAM, REPOSITORY, RunVidsearch, environment, run_on_terminal


def shell(command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """`vidsearch` in a shell command is the real program."""
    script = f'vidsearch() {{ "{sys.executable}" -m vidsearch "$@"; }}\n{command}'
    return subprocess.run(["bash", "-c", script], env=environment(env), capture_output=True, check=False, timeout=120)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["query red", "query red --json", "info", "videos", "query --help", "--version"])
def test_a_full_disk_is_a_sentence(command: str, clips_library: Path) -> None:
    done = shell(f"vidsearch {command} > /dev/full")
    assert done.returncode == 2
    assert done.stderr == b"vidsearch: The output cannot be written (No space left on device).\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_stderr_costs_no_result(clips_library: Path) -> None:
    done = shell("vidsearch query 'a red helicopter' -k 1 2> /dev/full")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("query red >&-", 0),
        ("info --json >&-", 0),
        ("query - <&-", 2),
        ("query 'a red helicopter' 2>&-", 0),
        ("query red <&- >&- 2>&-", 0),
    ],
)
def test_closed_descriptors_are_opened_on_nothing(command: str, code: int, clips_library: Path) -> None:
    done = shell(f"vidsearch {command}")
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)


def test_indexing_goes_on_where_nobody_listens(tmp_path: Path, command: RunVidsearch) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(CLIPS / "red-square-left.mp4", tmp_path / "videos")
    assert shell(f"vidsearch index '{tmp_path / 'videos'}' <&- >&- 2>&-").returncode == 0
    assert command("check").returncode == 0
    assert command("videos").stdout.count(b"\n") == 1


@pytest.mark.parametrize("command", ["query red", "index .", "index videos", "remove .", "query red --under x"])
def test_a_folder_that_was_deleted_around_the_program_is_a_sentence(
    command: str, tmp_path: Path, clips_library: Path
) -> None:
    (tmp_path / "here").mkdir()
    done = shell(f"cd '{tmp_path}/here'; rmdir ../here; vidsearch {command}", PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 2
    assert done.stderr == b"vidsearch: The folder that you are in was deleted; change into another one.\n"


def test_a_closed_pipe_is_no_error_for_help_either() -> None:
    done = shell("vidsearch --help | head -n 0; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")


def test_names_and_words_are_the_same_in_a_locale_without_them(tmp_path: Path) -> None:
    (tmp_path / "vidéos").mkdir()
    shutil.copy(CLIPS / "red-square-left.mp4", tmp_path / "vidéos" / "été.mp4")
    odd = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert shell(f"vidsearch index '{tmp_path}'", **odd).returncode == 0
    for command in ("query 'a red square, déjà vu'", "query -f0 red", "query red --json", "videos", "info"):
        there, here = shell(f"vidsearch {command}", **odd), shell(f"vidsearch {command}")
        assert (there.returncode, there.stdout) == (0, here.stdout)
        assert "vidéos".encode() in here.stdout or command == "info"


def test_bytes_that_are_no_text_are_refused(clips_library: Path) -> None:
    done = shell("vidsearch query $'caf\\xe9'")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"vidsearch: The query caf\\xe9 is not UTF-8 text; write it in UTF-8 and search again.\n"


def test_ctrl_c_before_anything_is_imported_says_nothing() -> None:
    """From the moment on when the program's own code runs."""
    script = (
        "import os, signal, sys, threading\n"
        "sys.argv = ['vidsearch', '--help']\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'vidsearch.cli.app':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Late())\n"
        "from vidsearch.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_ctrl_c_that_a_native_module_turns_into_an_import_error_is_still_ctrl_c(clips_library: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "sys.argv = ['vidsearch', 'query', 'red']\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy':\n"
        "            try:\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "            except KeyboardInterrupt as error:\n"
        "                raise ImportError('initialization failed') from error\n"
        "sys.meta_path.insert(0, Late())\n"
        "from vidsearch.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_a_terminal_gets_no_control_characters_of_names(tmp_path: Path, command: RunVidsearch) -> None:
    name = "a\x1b]0;PWNED\x07\u202e\x9b.mp4"
    shutil.copy(CLIPS / "red-square-left.mp4", tmp_path / name)
    assert command("index", tmp_path).returncode == 0
    for arguments in (["query", "red"], ["query", "red", "-f"], ["query", "red", "-f0"], ["query", "red", "--json"]):
        code, shown = run_on_terminal([*PROGRAM, *arguments], b"")
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown.replace("\x1b[1m", "").replace("\x1b[0m", ""))
    assert command("query", "red", "-f0").stdout == os.fsencode(tmp_path / name) + b"\0"


def test_log_lines_quote_names_without_their_control_characters(clips_library: Path) -> None:
    script = (
        "import logging\n"
        "from vidsearch.cli.app import run\n"
        "run(['info'])\n"
        "log = logging.getLogger('vidsearch.video.pool')\n"
        "log.error('%s ended:\\n%s', 'c\\x1b]0;PWNED\\x07.mp4', 'it\\x1b[2J said')"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, check=True)
    assert done.stderr == b"vidsearch.video.pool: c\\x1b]0;PWNED\\x07.mp4 ended:\nit\\x1b[2J said\n"
