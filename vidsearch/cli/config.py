"""`vidsearch config`: what the options are set to, where that was said, and how to change it."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from vidsearch import json_forms
from vidsearch.cli import show
from vidsearch.cli.configured import SHARED, Option, check_config, nearest, options_of
from vidsearch.cli.options import Json
from vidsearch.errors import VidsearchError
from vidsearch.settings import Settings, config_path, load

app = typer.Typer(
    help="What the options are set to, and where. A key is an option of one command, as query.top, or one of\n"
    f"{', '.join(SHARED)}, which hold for every command that has them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
Key = Annotated[str, typer.Argument(metavar="KEY", help="An option of a command, as query.top, or of all: model.")]


@app.callback()
def config(context: typer.Context, as_json: Json = False) -> None:
    """Show every option that can be set, its value, and where it came from: config file, environment or default.

    Example: vidsearch config set query.top 20
    """
    if context.invoked_subcommand is not None:
        return
    settings = load()
    rows = list(_rows(context.find_root().command, settings))
    if as_json:
        fields = ("name", "value", "source")
        items = [dict(zip(fields, row, strict=True)) for row in rows]
        show.write_json({"version": json_forms.VERSION, "path": str(settings.path), "options": items})
    else:
        show.table_or_lines(("option", "value", "from"), [(name, _text(value), source) for name, value, source in rows])


@app.command("path")
def path() -> None:
    """Print where the config file is, or would be."""
    show.write(f"{config_path()}\n")


@app.command("set")
def set_value(
    context: typer.Context,
    key: Key,
    values: Annotated[list[str], typer.Argument(metavar="VALUE...", help="true or false for a switch.")],
) -> None:
    """Write a value into the config file; several for an option that can be given several times."""
    option = _option(context, key)
    value = _converted(option, values, context)
    with _edited() as document:
        table: MutableMapping[str, Any] = document
        for name in key.split(".")[:-1]:
            table = table.setdefault(name, {})
        table[key.split(".")[-1]] = value
    show.say(f"{key} = {_text(value)} in {config_path()}")


@app.command("unset")
def unset(key: Key) -> None:
    """Take a value out of the config file, whatever it is."""
    *tables, last = key.split(".")
    with _edited() as document:
        table: Any = document
        for name in tables:
            table = table.get(name, {})
        if not isinstance(table, MutableMapping) or last not in table:
            raise VidsearchError(f"The config file {config_path()} does not set {key}; see vidsearch config.")
        del table[last]
    show.say(f"{key} is not set any more in {config_path()}")


def _rows(root: Any, settings: Settings) -> Iterator[tuple[str, Any, str]]:
    """Name, value and source of every option that can be set."""
    check_config(root, settings)
    for option in options_of(root):
        if option.command[0] != "config":
            yield option.name, *_value_and_source(option, settings)


def _value_and_source(option: Option, settings: Settings) -> tuple[Any, str]:
    variable = option.parameter.envvar
    if variable and os.environ.get(variable):
        return os.environ[variable], variable
    table, shared = settings.of_command(*option.command), settings.shared()
    if option.key in table:
        return table[option.key], "config file"
    if option.shared_key in shared:
        return shared[option.shared_key], f"config file, {option.shared_key}"
    return option.parameter.default, "default"


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _option(context: typer.Context, key: str) -> Option:
    """The option that a key names. VidsearchError with the nearest known keys where there is none."""
    known = {option.name: option for option in options_of(context.find_root().command) if option.command[0] != "config"}
    if key in SHARED:
        return next(option for option in known.values() if option.shared_key == key)
    if key not in known:
        listed = "it is not known; vidsearch config lists what can be set."
        raise VidsearchError(f"{key} cannot be set: {nearest(key, (*SHARED, *known), listed)}")
    return known[key]


def _converted(option: Option, values: list[str], context: typer.Context) -> Any:
    """The value as TOML has it. BadParameter, with the option's own words, if the option does not take it."""
    parameter = option.parameter
    if parameter.multiple:
        return values
    if len(values) > 1:
        raise typer.BadParameter(f"{option.name} takes one value; put it in quotes if it has spaces")
    if getattr(parameter, "is_flag", False):
        if values[0] not in ("true", "false"):
            raise typer.BadParameter(f"{option.name} is a switch: true or false")
        return values[0] == "true"
    value = parameter.process_value(context, values[0])
    return value if isinstance(value, int | float | str) and not hasattr(value, "value") else values[0]


@contextmanager
def _edited() -> Iterator[MutableMapping[str, Any]]:
    """The config file as a TOML document, whose comments and order stay; written when the block ends well."""
    import tomlkit

    from vidsearch.files import replacing

    path = load().path  # says what is wrong with a file that is no TOML
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8-sig") if path.exists() else "")
        yield document
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(tomlkit.dumps(document), encoding="utf-8")
    except OSError as error:
        raise VidsearchError(f"The config file {path} cannot be written ({error.strerror}).") from error
