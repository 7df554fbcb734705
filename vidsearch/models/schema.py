"""Values from a JSON file → dataclasses, where they enter: every type, number and length is checked here. No torch.

The schema is the type hints of a dataclass. `Annotated[int, Within(1, 256)]` bounds a number, or the length of a text,
a list or a mapping; numbers without bounds of their own must be finite and at most `LARGEST`. A field with a default
may be missing; a field that the class lacks is refused, unless the class says `open_fields = True`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from vidsearch.errors import ModelError

Record = TypeVar("Record")
LARGEST = 1 << 40
_LONGEST = 100_000  # letters of a text, entries of a list or mapping
_SHOWN = 60  # letters of a wrong value that a message shows


class Within(NamedTuple):
    """Inclusive bounds."""

    least: float
    most: float


Width = Annotated[int, Within(1, 1 << 16)]  # channels or values of one position
Depth = Annotated[int, Within(1, 256)]  # blocks or layers
Count = Annotated[int, Within(1, 256)]  # frames, heads, strides, factors
SidePx = Annotated[int, Within(8, 4096)]
Epsilon = Annotated[float, Within(1e-12, 1)]
_ANY_NUMBER, _ANY_LENGTH = Within(-LARGEST, LARGEST), Within(0, _LONGEST)


def read_record(kind: type[Record], value: object, where: str) -> Record:
    """An object of the dataclass `kind` from a mapping. ModelError names the field below `where`, and its fault."""
    if not isinstance(value, Mapping):
        raise ModelError(f"{where or 'it'} must be an object with fields, not {_shown(value)}")
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    unknown = [str(name) for name in value if name not in hints]
    if unknown and not getattr(kind, "open_fields", False):
        raise ModelError(f"{where or 'it'} has an unknown field {_shown(min(unknown))}")
    missing = sorted(_required(kind) - set(value))
    if missing:
        raise ModelError(f"{where or 'it'} lacks the field {missing[0]}")
    at = f"{where}." if where else ""
    fields = {name: read_value(hint, value[name], f"{at}{name}") for name, hint in hints.items() if name in value}
    try:
        return kind(**fields)
    except ValueError as error:  # what `__post_init__` says of fields that do not go together
        raise ModelError(f"{where or 'it'} does not go together: {error}") from error


def read_value(hint: Any, value: object, where: str, bounds: Within | None = None) -> Any:
    """`value` as a type hint describes it, or a ModelError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return read_value(arguments[0], value, where, next(a for a in arguments[1:] if isinstance(a, Within)))
    if origin in (Union, UnionType):
        return _read_optional(arguments, value, where, bounds)
    if origin is Literal:
        return _read_choice(arguments, value, where)
    if origin is tuple:
        return _read_list(arguments, value, where, bounds or _ANY_LENGTH)
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        return _read_mapping(arguments, value, where, bounds or _ANY_LENGTH)
    if dataclasses.is_dataclass(hint):
        return read_record(hint, value, where)  # type: ignore[arg-type]  # the hints of our dataclasses are classes
    if hint in (int, float):
        return _read_number(hint, value, where, bounds or _ANY_NUMBER)
    if hint is str:
        return _read_text(value, where, bounds or _ANY_LENGTH)
    if hint is not Any and not isinstance(value, hint):
        raise ModelError(f"{where} must be {_NAMES.get(hint, str(hint))}, not {_shown(value)}")
    return value


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _required(kind: type) -> set[str]:
    missing = dataclasses.MISSING
    return {f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing}


def _read_optional(arguments: tuple[Any, ...], value: object, where: str, bounds: Within | None) -> Any:
    if value is None and NoneType in arguments:
        return None
    (hint,) = (each for each in arguments if each is not NoneType)
    return read_value(hint, value, where, bounds)


def _read_choice(choices: tuple[Any, ...], value: object, where: str) -> Any:
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ModelError(f"{where} must be one of {', '.join(map(str, choices))}, not {_shown(value)}")
    return value


def _read_list(hints: tuple[Any, ...], value: object, where: str, bounds: Within) -> tuple[Any, ...]:
    """A list, or a tuple as `dataclasses.asdict` leaves it; `tuple[X, ...]` has any number of entries."""
    if not isinstance(value, list | tuple):
        raise ModelError(f"{where} must be a list, not {_shown(value)}")
    if hints[-1] is Ellipsis:
        _require_length(value, where, bounds)
        hints = (hints[0],) * len(value)
    if len(value) != len(hints):
        raise ModelError(f"{where} must have {len(hints)} entries, not {len(value)}")
    entries = enumerate(zip(hints, value, strict=True))
    return tuple(read_value(hint, entry, f"{where}[{i}]") for i, (hint, entry) in entries)


def _read_mapping(arguments: tuple[Any, ...], value: object, where: str, bounds: Within) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ModelError(f"{where} must be an object, not {_shown(value)}")
    _require_length(value, where, bounds)
    hint = arguments[1] if arguments else Any
    return {str(name): read_value(hint, entry, f"{where}.{_shown(name)}") for name, entry in value.items()}


def _read_number(hint: type, value: object, where: str, bounds: Within) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int if hint is int else int | float):
        raise ModelError(f"{where} must be {_NAMES[hint]}, not {_shown(value)}")
    assert isinstance(value, int | float)
    if not bounds.least <= value <= bounds.most:  # nan is not either
        between = f"from {bounds.least:g} to {bounds.most:g}"
        raise ModelError(f"{where} must be {_NAMES[hint]} {between}, not {_shown(value)}")
    return hint(value)  # 2 in the place of a fraction is 2.0


def _read_text(value: object, where: str, bounds: Within) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{where} must be a text, not {_shown(value)}")
    _require_length(value, where, bounds)
    return value


def _require_length(value: Any, where: str, bounds: Within) -> None:
    if not bounds.least <= len(value) <= bounds.most:
        raise ModelError(f"{where} must have from {bounds.least:g} to {bounds.most:g} entries, not {len(value)}")


def _shown(value: object) -> str:
    """A wrong value in a message, on one line and cut."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number of {value.bit_length()} bits"
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
