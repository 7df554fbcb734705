"""The commands and the help of the program as a whole, without importing any of them."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# Name → module and function of vidsearch.cli, and what `vidsearch --help` says. Groups of commands stand last.
COMMANDS = {
    "index": ("index:index", "Walk folders in place and index every new or changed video."),
    "query": ("query:query", "Find the moments that show what TEXT says."),
    "similar": ("similar:similar", "Find moments that look like a clip, a picture or a hit."),
    "duplicates": ("duplicates:duplicates", "List groups of files that show the same footage."),
    "ask": ("ask:ask", "Ask questions about a video, or a moment of the last query."),
    "open": ("open:open_hit", "Open a hit in a player, at its time."),
    "show": ("show_hit:show_hit", "Show a strip of frames of a hit in the terminal."),
    "sheet": ("sheet:sheet", "Make a contact sheet of hits: .png or .pdf."),
    "export": ("export:export", "Cut hits into files, or write a timeline of them."),
    "serve": ("serve:serve", "Serve search on a web page on this computer."),
    "videos": ("videos:videos", "List the videos of the library, and why one failed."),
    "remove": ("remove:remove", "Forget what the library knows of folders or files."),
    "info": ("info:info", "Say where the library lies, what it holds, and its size."),
    "shell": ("shell:shell", "Ask again and again at a prompt that keeps the model open."),
    "schema": ("schema:schema", "Print the JSON schema of what --json prints."),
    "doctor": ("health:doctor", "Try the decoders, the models, the device and the library."),
    "check": ("health:check", "Read the whole library and name what is wrong with it."),
    "rebuild": ("health:rebuild", "Make the search index anew, and give free room back."),
    "train": ("train:train", "Train a model on a synthetic world or on captioned clips."),
    "models": ("models:app", "List, fetch, add, check and remove models."),
    "config": ("config:app", "Show, set and forget what is typed every time."),
    "evaluate": ("evaluate:app", "Measure a model on a public benchmark."),
}
WHAT = "Search a folder of videos by meaning, on this computer, with nothing uploaded."
EPILOG = "Exit codes: 0 done, 1 nothing found, 2 wrong usage, 3 some videos failed, 4 library, 5 model, 130 Ctrl-C."
VERSION_HELP = "Print the version and stop."
VERBOSE_HELP = "Say more; -vv for debugging."


class Ended(Exception):  # noqa: N818 - typer's Exit where there is no typer
    """A command ends here, with this exit code."""

    def __init__(self, exit_code: int = 0) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class NotPlain(Exception):  # noqa: N818 - caught by whoever asks typer then
    """A command line that is typer's to read."""


_WIDE_ENOUGH = 80  # columns; typer breaks lines of a narrower terminal


def main_help() -> str | None:
    """What `vidsearch --help` says, as typer does; None where the terminal is narrow."""
    import shutil  # late: a command needs none of it

    if shutil.get_terminal_size().columns < _WIDE_ENOUGH:
        return None
    commands = "".join(f"  {name:{max(map(len, COMMANDS))}}  {line}\n" for name, (_, line) in COMMANDS.items())
    return f"""\
Usage: {_program()} [OPTIONS] COMMAND [ARGS]...

  Search a folder of videos by meaning, on this computer, with nothing
  uploaded.

Options:
  --version             {VERSION_HELP}
  -v, --verbose         {VERBOSE_HELP}  [default: 0]
  -q, --quiet           Print results and errors alone.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this message and exit.

Commands:
{commands}
  Exit codes: 0 done, 1 nothing found, 2 wrong usage, 3 some videos failed, 4
  library, 5 model, 130 Ctrl-C.
"""


def command_of(name: str) -> Any:
    """The function of a command, or the typer application of a group of them."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    return getattr(import_module(f"vidsearch.cli.{module}"), attribute)


def _program() -> str:
    """How the program was called, as typer tells it."""
    package = getattr(sys.modules["__main__"], "__package__", None)
    if not package or (os.name == "nt" and not Path(sys.argv[0]).exists()):
        return Path(sys.argv[0]).name
    name = Path(sys.argv[0]).stem
    return f"python -m {package}" if name == "__main__" else f"python -m {package}.{name}"
