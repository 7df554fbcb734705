"""The command line as typer reads it, made of the declarations of the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any

from vidsearch import __version__
from vidsearch.cli import options, show
from vidsearch.cli.configured import apply_config
from vidsearch.cli.late import typer, with_parameters
from vidsearch.cli.logs import log_to_stderr
from vidsearch.cli.overview import COMMANDS, EPILOG, VERBOSE_HELP, VERSION_HELP, WHAT, command_of

# train has its own parser, which also runs where typer is not installed (`python -m vidsearch.training`).
_OWN_PARSER = {"add_help_option": False, "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True}}


@cache
def commands(names: tuple[str, ...]) -> Callable[..., Any]:
    """The tree of these commands: a tenth of a second, which a process that runs several command lines spends once."""
    from typer.main import get_command

    return get_command(typer_app(names))


def typer_app(names: Iterable[str]) -> typer.Typer:
    """The program with these commands, for typer to read a command line."""
    app = typer.Typer(
        name="vidsearch",
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help: rich would cost more than all the rest of `--help`
        pretty_exceptions_enable=False,  # a bug stays a plain traceback
        context_settings={"help_option_names": ["-h", "--help"]},
        help=WHAT,
        epilog=EPILOG,
    )
    app.callback()(with_parameters(_options))
    for name in names:
        command, line = command_of(name), COMMANDS[name][1]
        if isinstance(command, typer.Typer):
            registered: list[Any] = [command.registered_callback, *command.registered_commands]
            for info in registered:
                if info is not None and info.callback is not None:
                    info.callback = with_parameters(info.callback)
            app.add_typer(command, name=name, short_help=line)
        else:
            settings: dict[str, Any] = _OWN_PARSER if name == "train" else {}
            app.command(name, short_help=line, **settings)(with_parameters(command))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        show.write(f"vidsearch {__version__}\n")
        raise typer.Exit


def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help=VERSION_HELP)
    ] = False,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help=VERBOSE_HELP)] = 0,
    quiet: options.Quiet = False,
) -> None:
    log_to_stderr(verbose)
    apply_config(context)
