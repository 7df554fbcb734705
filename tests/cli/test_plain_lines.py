"""A command line means the same whether typer reads it or not, and ordinary ones need no typer."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import typer
from support import environment
from typer.testing import CliRunner

from vidsearch.cli import plain
from vidsearch.cli.late import with_parameters
from vidsearch.cli.overview import COMMANDS, NotPlain, command_of, main_help

ORDINARY = [
    ("query", ["dog"]),
    ("query", ["dog jumping", "-k", "3", "--json"]),
    ("query", ["--top", "5", "dog", "--per-video=2", "--min-score", "0.25", "--all"]),
    ("query", ["-f", "-0", "ein Hund", "--under", "/somewhere/else", "--model", "mobileviclip-nano"]),
    ("query", ["-", "--ask", "what is it?", "--ask", "where?", "--ask-top", "2", "--ask-model", "m"]),
    ("query", ["", "--time-format", "seconds", "--exact", "--page", "a.html"]),
    ("query", ["--", "dog", "-snow", "0.5:cat"]),
    ("query", ["a", "b", "--since", "2025-07", "--under", "/a", "--under", "/b", "--sort", "time", "--add", "0.5:x"]),
    ("videos", []),
    ("videos", ["--failed", "--json", "--under", "x"]),
    ("info", ["--json"]),
]
FOR_TYPER = [
    ("query", ["dog", "--top", "0"]),
    ("query", ["dog", "--top", "three"]),
    ("query", ["dog", "--top"]),
    ("query", ["dog", "--min-score", "-0.5"]),
    ("query", ["dog", "--help"]),
    ("query", ["dog", "-k3"]),
    ("query", ["dog", "-f0"]),
    ("query", ["dog", "--nothing"]),
    ("query", ["dog", "--json=yes"]),
    ("query", ["dog", "--time-format", "days"]),
]


def read_by_typer(command: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    """The values that the command gets from typer."""
    got: dict[str, Any] = {}

    @functools.wraps(command)
    def record(**values: Any) -> None:
        got.update(values)

    only = typer.Typer(rich_markup_mode=None)
    only.command("it")(with_parameters(record))
    only.command("other")(lambda: None)
    done = CliRunner().invoke(only, ["it", *arguments])
    assert done.exit_code == 0, done.output
    return got


@pytest.mark.parametrize("variables", [{}, {"VIDSEARCH_MODEL": "another"}, {"VIDSEARCH_MODEL": ""}])
@pytest.mark.parametrize(("name", "arguments"), ORDINARY)
def test_an_ordinary_line_means_what_it_means_to_typer(
    name: str, arguments: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    command = command_of(name)
    assert {key: value or None for key, value in plain.read(command, arguments).items()} == {
        key: value or None for key, value in read_by_typer(command, arguments).items()
    }


@pytest.mark.parametrize(("name", "arguments"), FOR_TYPER)
def test_any_other_line_is_left_to_typer(name: str, arguments: list[str]) -> None:
    with pytest.raises(NotPlain):
        plain.read(command_of(name), arguments)


def test_the_help_of_the_program_is_typers(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; sys.argv[:] = ['vidsearch']; from vidsearch.cli.app import app; app(['--help'])"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, env=environment({"COLUMNS": "80"}), text=True
    )
    monkeypatch.setattr(sys, "argv", ["vidsearch"])
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    monkeypatch.setenv("COLUMNS", "80")
    assert main_help() == shown.stdout
    monkeypatch.setenv("COLUMNS", "60")
    assert main_help() is None


def test_help_and_queries_import_no_typer() -> None:
    script = (
        "import sys; from vidsearch.cli.app import run; code = run(sys.argv[1:]);"
        "print(code, sorted({'typer', 'pydantic', 'rich', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )

    def modules_after(*arguments: str) -> bytes:
        given = [sys.executable, "-c", script, *arguments]
        return subprocess.run(given, capture_output=True, check=True, env=environment()).stderr.splitlines()[-1]

    assert modules_after("--help") == b"0 []"
    assert modules_after("--version") == b"0 []"
    assert b"typer" not in modules_after("query", "dog", "-m", "mobileviclip-nano")


@pytest.mark.parametrize("line", [["schema", "query"], ["config", "path"]])  # read plainly, and by typer
def test_garbage_is_looked_for_while_a_command_runs(line: list[str]) -> None:
    program = f"""
import gc, sys
from vidsearch import __main__
from vidsearch.cli import show
sys.argv = ["vidsearch", *{line!r}]
write = show.write
show.write = show.write_json = lambda text: print("garbage is looked for:", gc.isenabled())
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, check=True)
    assert done.stdout == b"garbage is looked for: True\n"


def test_a_mistake_that_a_command_finds_is_said_with_its_usage(command: Any) -> None:
    done = command("query", "dog", "--json", "--jsonl")
    assert done.returncode == 2
    assert done.stderr.startswith(b"Usage: ")
    assert b"choose one of --json, --jsonl, --format and -f/-0" in done.stderr


def test_every_command_has_its_line_of_help() -> None:
    assert all(len(line) <= 62 and line.endswith(".") for _, line in COMMANDS.values())
