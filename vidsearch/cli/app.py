"""The `vidsearch` program: its commands, and how an error becomes a message and an exit code.

Each command imports its workflow in its body, so that `vidsearch --help` answers at once.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from vidsearch import __version__
from vidsearch.cli import (
    ask,
    config,
    duplicates,
    evaluate,
    export,
    health,
    index,
    info,
    models,
    options,
    query,
    remove,
    schema,
    serve,
    show,
    similar,
    train,
    videos,
)
from vidsearch.cli.configured import apply_config, said_in_config
from vidsearch.errors import EXIT_INTERRUPTED, VidsearchError
from vidsearch.extras import needing

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    name="vidsearch",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would cost more than all the rest of `--help`
    pretty_exceptions_enable=False,  # a bug stays a plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search a folder of videos by meaning, on this computer, with nothing uploaded.",
    epilog="Exit codes: 0 done, 1 nothing found, 2 wrong usage, 3 some videos failed, 4 library, 5 model, 130 Ctrl-C.",
)
app.command("index")(index.index)
app.command("query")(query.query)
app.command("similar")(similar.similar)
app.command("duplicates")(duplicates.duplicates)
app.command("ask")(ask.ask)
app.command("export")(export.export)
app.command("serve")(serve.serve)
app.command("videos")(videos.videos)
app.command("remove")(remove.remove)
app.command("info")(info.info)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.command("schema")(schema.schema)
app.command("doctor")(health.doctor)
app.command("check")(health.check)
app.command("rebuild")(health.rebuild)
app.add_typer(evaluate.app, name="evaluate")
# train has its own parser, which also runs where typer is not installed (`python -m vidsearch.training`).
app.command(
    "train", add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)(train.train)


def _print_version(wanted: bool) -> None:
    if wanted:
        show.write(f"vidsearch {__version__}\n")
        raise typer.Exit


@app.callback()
def global_options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more; -vv for debugging.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    apply_config(context)


class _PrintableFormatter(logging.Formatter):
    """Log lines quote file names and other programs' words: a terminal gets none of their control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return show.printable_lines(super().format(record))


@cache
def _command() -> Callable[..., Any]:
    """The tree of commands: a tenth of a second, which a process that runs several command lines spends once."""
    return get_command(app)


def run(arguments: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code; every message for a person goes to stderr."""
    show.speak_again()
    try:
        with needing("this command"):
            code = _command()(args=arguments, standalone_mode=False)
    except VidsearchError as error:
        show.say_error(error)
        return error.exit_code
    except typer.TyperException as error:  # wrong usage, with typer's own hint
        error.message = show.printable_lines(error.message) + said_in_config(error)
        error.show()  # type: ignore[attr-defined]  # every usage error has it; the base class does not say so
        for name in sys.argv[1:] if arguments is None else arguments:
            if name.startswith("-") and os.path.lexists(name):
                show.warn(f"vidsearch: There is a file {name} here; write ./{name} for it.")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return 0  # typer's answer to a reader of the help who left
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        show.warn(f"vidsearch: The output cannot be written ({error.strerror}).")
        show.leave_stdout()
        return VidsearchError.exit_code
    return code if isinstance(code, int) else 0


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
