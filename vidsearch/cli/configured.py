"""The config file and the options of the commands: which key belongs to which option, and what holds of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.settings import Settings, load

SHARED = {  # key at the top → the variable of the options that it sets
    "model": "VIDSEARCH_MODEL",
    "ask-model": "VIDSEARCH_ASK_MODEL",
    "device": "VIDSEARCH_DEVICE",
    "decoder-memory": "VIDSEARCH_DECODER_MB",
}
_ON_THE_DAY = frozenset({"yes", "quiet", "force", "accept-changed", "dry-run"})  # said each time or not at all


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command that the config file can set."""

    command: tuple[str, ...]  # ("models", "pull")
    key: str  # its long name without dashes
    parameter: Any  # typer's

    @property
    def name(self) -> str:
        """As `vidsearch config set` takes it: models.pull.half."""
        return ".".join((*self.command, self.key))

    @property
    def shared_key(self) -> str | None:
        """The key at the top of the file that sets this option as well."""
        if self.key == "ask-model":
            return self.key
        return next((key for key, variable in SHARED.items() if variable == self.parameter.envvar), None)


def options_of(command: Any, names: tuple[str, ...] = ()) -> Iterator[Option]:
    """The options of a command, or of all commands of a group, that the config file can set."""
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from options_of(command.get_command(None, name), (*names, name))
        return
    for parameter in command.params:
        key = max(parameter.opts, key=len).lstrip("-")
        if parameter.param_type_name == "option" and key not in _ON_THE_DAY and len(key) > 1:
            yield Option(names, key, parameter)


def long_names(command: Any) -> list[str]:
    """The options of a command as they are typed: --top; of a group, its commands."""
    if hasattr(command, "list_commands"):
        return list(command.list_commands(None))
    return [max(item.opts, key=len) for item in command.params if item.param_type_name == "option"]


def apply_config(context: Any) -> None:
    """Gives the command that is about to run what the config file says of its options.

    Raises VidsearchError, which names file and nearest known key, for a key that is not known.
    """
    called = context.invoked_subcommand
    if called in (None, "config"):  # what mends a config file works whatever stands in it
        return
    settings = load()
    if settings.values:
        check_config(context.command, settings)
        context.default_map = {called: _defaults(context.command.get_command(context, called), (called,), settings)}


def check_config(root: Any, settings: Settings) -> None:
    """VidsearchError, which names the nearest known one, for a key or a table of the file that is not known."""
    commands = root.list_commands(None)
    for key, value in settings.values.items():
        if isinstance(value, Mapping):
            if key not in commands:
                raise unknown(key, commands, "the tables", settings)
            _defaults(root.get_command(None, key), (key,), settings)
        elif key not in SHARED:
            raise unknown(key, SHARED, "the keys at the top", settings)


def _defaults(command: Any, names: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """The values for one command, by the names of its parameters; of a group, by its commands."""
    if hasattr(command, "list_commands"):
        commands = command.list_commands(None)
        for key in settings.of_command(*names):
            if key not in commands:
                raise unknown(key, commands, f"[{'.'.join(names)}]", settings)
        return {name: _defaults(command.get_command(None, name), (*names, name), settings) for name in commands}
    known = {option.key: option for option in options_of(command, names)}
    table, shared = settings.of_command(*names), settings.shared()
    for key in table:
        if key not in known:
            raise unknown(key, known, f"[{'.'.join(names)}]", settings)
    values = {}
    for key, option in known.items():
        if key in table:
            values[option.parameter.name] = table[key]
        elif option.shared_key in shared:
            values[option.parameter.name] = shared[option.shared_key]
    return values


def unknown(key: str, known: Collection[str], where: str, settings: Settings) -> VidsearchError:
    """The error for a key of the file that is none, with the nearest that is."""
    return VidsearchError(f"The config file {settings.path} has {key!r} among {where}: {nearest(key, known)}")


def nearest(key: str, known: Collection[str], otherwise: str = "") -> str:
    """A clause: the known ones that are near; else `otherwise`, or all that are known."""
    near = [name for name in known if name.endswith(f".{key}")][:3] or get_close_matches(key, known, n=1)
    if near:
        return f"it is not known; did you mean {' or '.join(near)}?"
    return otherwise or f"known are {', '.join(sorted(known))}."


def said_in_config(error: Any) -> str:
    """' (in the config file ...)' if the wrong value of an option came from there, else nothing."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None or parameter is None or context.get_parameter_source(parameter.name) is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    return f" (in the config file {load().path})" if source.name == "DEFAULT_MAP" else ""
