"""`vidsearch shell`: a prompt that keeps the library and the model open between queries."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch import dirs
from vidsearch.cli import options, show
from vidsearch.cli.configured import long_names
from vidsearch.cli.finding import keeping_open
from vidsearch.cli.overview import COMMANDS
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from types import ModuleType

PROMPT = "vidsearch> "
_LEAVE = ("exit", "quit")
_LINES_KEPT = 1000


def shell(model: options.Model = DEFAULT_MODEL) -> None:
    """Ask again and again: a line is a query, or a command with its options, as after `vidsearch`.

    The model and the library stay open, so that a query answers in milliseconds. Tab completes commands, options and
    file names, the arrow keys bring back earlier lines; exit, or Ctrl-D, leaves.

    Example: a line "dog jumping -snow since:2025-07", then a line "ask 1 what colour is the dog?"
    """
    from vidsearch.cli.app import run

    with keeping_open():
        for line in _lines(Completer()):
            arguments = _arguments(line, model)
            if arguments is not None:
                run(arguments)


def _lines(complete: Callable[[str, int], str | None]) -> Any:
    """What is typed at the prompt, or the lines of a pipe; ends with Ctrl-D, `exit` or `quit`."""
    if not sys.stdin.isatty():
        yield from _until_left(raw for raw in sys.stdin)
        return
    editor = _line_editor(complete)
    try:
        yield from _until_left(iter(_typed, None))
    finally:
        _keep_history(editor)


def _typed() -> str | None:
    """A line; None at the end. Ctrl-C gives the line up."""
    while True:
        try:
            return input(PROMPT)
        except KeyboardInterrupt:
            show.say("")
        except EOFError:
            show.say("")
            return None


def _until_left(lines: Any) -> Any:
    for line in lines:
        if line.strip() in _LEAVE:
            return
        if line.strip():
            yield line.strip()


def _arguments(line: str, model: str) -> list[str] | None:
    """The command line that a line stands for; None, after a sentence, where its quotes do not close."""
    first = line.split(maxsplit=1)[0]
    if first not in COMMANDS:
        return ["query", "--model", model, "--line", line]
    try:
        words = shlex.split(line)
    except ValueError as error:
        show.warn(f"vidsearch: The line cannot be read ({str(error).lower()}); close the quotes.")
        return None
    if first == "shell":
        show.warn("vidsearch: This is the shell already.")
        return None
    return words


class Completer:
    """Completes the word before the cursor, as readline asks for it: once for each proposal."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def __call__(self, word: str, number: int) -> str | None:
        if number == 0:
            import readline

            begun = readline.get_line_buffer()[: readline.get_begidx()]
            self._found = self.proposals(begun, word)
        return self._found[number] if number < len(self._found) else None

    def proposals(self, begun: str, word: str) -> list[str]:
        """What `word` may become after `begun`, the line before it."""
        if not begun.strip():
            return sorted(f"{name} " for name in COMMANDS if name.startswith(word))
        if word.startswith("-") and (called := begun.split()[0]) in COMMANDS:
            from vidsearch.cli.typer_app import commands  # late: a tenth of a second, at the first option completed

            tree: Any = commands((called,))
            command = tree.get_command(None, called)
            return sorted(f"{name} " for name in long_names(command) if name.startswith(word))
        names = glob(f"{escape(word)}*")  # noqa: PTH207  a word may be the beginning of a path, ~ and .. as typed
        return sorted(f"{name}/" if Path(name).is_dir() else f"{name} " for name in names)


def _line_editor(complete: Callable[[str, int], str | None]) -> ModuleType | None:
    """readline with the history of earlier shells; None where the system has none."""
    try:
        import readline
    except ImportError:
        return None
    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    with suppress(OSError):
        readline.read_history_file(_history())
    return readline


def _keep_history(editor: Any) -> None:
    if editor is None:
        return
    with suppress(OSError):
        _history().parent.mkdir(parents=True, exist_ok=True)
        editor.set_history_length(_LINES_KEPT)
        editor.write_history_file(_history())


def _history() -> Path:
    return dirs.cache_dir() / "shell-history"
