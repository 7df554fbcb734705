"""The `vidsearch` program: how a command line finds its command, and how an error becomes a message and an exit code.

Each command imports its workflow in its body, and only the command that is called is imported, so that `vidsearch
--help` answers at once and a query does not wait for typer, which reads what is not an ordinary command line.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path
from typing import Any

from vidsearch import __version__
from vidsearch.cli import show
from vidsearch.cli.overview import COMMANDS, Ended, NotPlain, command_of, main_help
from vidsearch.errors import EXIT_INTERRUPTED, VidsearchError
from vidsearch.extras import needing

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_VERBOSE = {"-v": 1, "--verbose": 1, "-vv": 2}
_TYPER_READS = ("train", "models", "evaluate", "config")  # with their own subcommands
_COMPLETION = "_VIDSEARCH_COMPLETE"  # set by a shell that asks typer what could follow


def __getattr__(name: str) -> Any:
    """`app`: the whole command line as typer's."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vidsearch.cli.typer_app import typer_app

    return typer_app(COMMANDS)


def run(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code; every message for a person goes to stderr."""
    given = sys.argv[1:] if arguments is None else arguments
    show.speak_again()
    try:
        with needing("this command"):
            code = _run(given)
    except VidsearchError as error:
        show.say_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return 0  # typer's answer to a reader of the help who left
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not _is_somewhere():
            show.warn("vidsearch: The folder that you are in was deleted; change into another one.")
            return VidsearchError.exit_code
        if error.errno not in _DISK_FULL:
            raise
        show.warn(f"vidsearch: The output cannot be written ({error.strerror}).")
        show.leave_stdout()
        return VidsearchError.exit_code
    except Exception as error:
        typer = sys.modules.get("typer")
        if typer is None or not isinstance(error, typer.TyperException):
            raise
        return _say_wrong_usage(error, given)
    return code if isinstance(code, int) else 0


def _is_somewhere() -> bool:
    """Whether the folder that the program was started in still exists."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _say_wrong_usage(error: Any, arguments: list[str]) -> int:
    """With typer's own hint."""
    from vidsearch.cli.configured import said_in_config

    error.message = show.printable_lines(error.message) + said_in_config(error)
    error.show()
    for name in arguments:
        if name.startswith("-") and os.path.lexists(name):
            show.warn(f"vidsearch: There is a file {name} here; write ./{name} for it.")
    return int(error.exit_code)


def _run(arguments: list[str]) -> object:
    try:
        return _run_plainly(arguments)
    except NotPlain:
        pass
    except Ended as error:
        return error.exit_code
    except Exception as error:
        typer = sys.modules.get("typer")  # without it, it is none of these
        if typer and isinstance(error, typer.Exit):
            return error.exit_code
        if not (typer and isinstance(error, typer.BadParameter)):  # found before anything is done: typer can say it
            raise
    gc.enable()
    from vidsearch.cli.typer_app import commands

    called = next((word for word in arguments if word not in _VERBOSE), "")
    alone = called in COMMANDS and called != "config" and _COMPLETION not in os.environ and not _is_configured()
    return commands((called,) if alone else tuple(COMMANDS))(args=arguments, standalone_mode=False)


def _run_plainly(arguments: list[str]) -> object:
    """Runs an ordinary command line. Raises NotPlain for any other, and for one that its command finds fault with."""
    if _COMPLETION in os.environ:
        raise NotPlain
    if arguments in (["--help"], ["-h"]) and (text := main_help()):
        show.write(text)
        return 0
    if arguments == ["--version"]:
        show.write(f"vidsearch {__version__}\n")
        return 0
    verbose = 0
    while arguments and arguments[0] in _VERBOSE:
        verbose += _VERBOSE[arguments[0]]
        arguments = arguments[1:]
    if not arguments or arguments[0] not in COMMANDS or arguments[0] in _TYPER_READS:
        raise NotPlain
    if _is_configured():  # typer knows where a value came from
        raise NotPlain
    from vidsearch.cli import plain
    from vidsearch.cli.logs import log_to_stderr

    command = command_of(arguments[0])
    values = plain.read(command, arguments[1:])
    log_to_stderr(verbose)
    gc.enable()  # __main__.py says from when on it was off
    return command(**values)


def _is_configured() -> bool:
    """Whether there is a config file that says something."""
    from vidsearch import settings

    return bool(settings.load().values)


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
