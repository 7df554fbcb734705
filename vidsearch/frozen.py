"""`dataclass(frozen=True, slots=True)` of the standard library, made in a fifth of the time.

The standard library writes and compiles six functions for each class; for the classes of a query that takes longer
than its search. Here `__init__` alone is compiled; the other methods are the same functions for all classes, and the
fields are described as `dataclasses.fields` wants them when somebody asks. What is not that simple (a base class, a
factory of defaults, methods that `dataclass` would leave as they are) is made by the standard library.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """See the module's docstring."""

        def made(kind: type) -> type:
            if frozen and slots and _is_simple(kind):
                return _quickly(kind)
            return dataclasses.dataclass(kind, frozen=frozen, slots=slots)

        return made


Kind = TypeVar("Kind", bound=type)
_WRITTEN = {"__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__", "__slots__", "__match_args__"}
_MADE_ANEW = ("__dict__", "__weakref__")  # what a class without slots has for its objects
_NO_SIGNATURE = "of a twin"  # without a text of its own the standard library would work one out, for a millisecond
_DESCRIBED = ("__dataclass_fields__", "__dataclass_params__")


def _names(kind: type) -> list[str]:
    hints = inspect.get_annotations(kind)  # texts, since our modules do not evaluate them
    return [name for name, hint in hints.items() if not hint.startswith("ClassVar")]


def _is_simple(kind: type) -> bool:
    defaults = [kind.__dict__[name] for name in _names(kind) if name in kind.__dict__]
    return (
        type(kind) is type
        and kind.__bases__ == (object,)
        and not _WRITTEN & kind.__dict__.keys()
        and not any(isinstance(default, dataclasses.Field) or default.__hash__ is None for default in defaults)
    )


def _quickly(kind: Kind) -> Kind:
    names = _names(kind)
    defaults = {name: kind.__dict__[name] for name in names if name in kind.__dict__}
    body = {name: value for name, value in kind.__dict__.items() if name not in defaults and name not in _MADE_ANEW}
    body |= _SHARED | {"__slots__": tuple(names), "__match_args__": tuple(names), "__qualname__": kind.__qualname__}
    body |= _compared(names) | {name: _Described(name, defaults) for name in _DESCRIBED}
    made: Any = type(kind)(kind.__name__, kind.__bases__, body)
    made.__init__ = _init(made, names, defaults)
    return made


def _init(kind: type, names: list[str], defaults: dict[str, Any]) -> Callable[..., None]:
    """Sets the slots themselves, past the `__setattr__` that refuses."""
    known: dict[str, Any] = {f"set_{name}": kind.__dict__[name].__set__ for name in names}
    known |= {f"default_{name}": value for name, value in defaults.items()}
    parameters = [f"{name}=default_{name}" if name in defaults else name for name in names]
    lines = [f"set_{name}(self, {name})" for name in names] + ["self.__post_init__()"] * hasattr(kind, "__post_init__")
    exec(f"def __init__({', '.join(['self', *parameters])}):\n " + "\n ".join(lines or ["pass"]), known)
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{kind.__qualname__}.__init__"
    init.__module__ = kind.__module__
    return init


def _compared(names: list[str]) -> dict[str, Any]:
    """`__eq__` and `__hash__`, by the values in order."""
    values: Callable[[Any], tuple[Any, ...]]
    if len(names) > 1:
        values = attrgetter(*names)
    else:

        def values(record: Any) -> tuple[Any, ...]:
            return tuple(getattr(record, name) for name in names)

    def __eq__(self: Any, other: object) -> bool:  # noqa: N807 - becomes a method
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807 - becomes a method
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


class _Described:
    """What `dataclasses` keeps of a class, told by a twin that the standard library makes when somebody asks."""

    def __init__(self, name: str, defaults: dict[str, Any]) -> None:
        self._name, self._defaults = name, defaults
        self._kind: Any = None

    def __set_name__(self, kind: type, name: str) -> None:
        self._kind = kind

    def __get__(self, record: object, kind: type) -> Any:
        told = {
            "__annotations__": self._kind.__annotations__,
            "__module__": self._kind.__module__,
            "__doc__": _NO_SIGNATURE,
        }
        twin: Any = type(self._kind.__name__, (), told | self._defaults)
        frozen = self._name == "__dataclass_params__"  # the fields are the same without, and no function is compiled
        described = getattr(dataclasses.dataclass(init=False, repr=False, eq=False, frozen=frozen)(twin), self._name)
        setattr(self._kind, self._name, described)
        return described


def _repr(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{self.__class__.__qualname__}({values})"


def _refuse_setting(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deleting(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__match_args__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED = {
    "__repr__": _repr,
    "__setattr__": _refuse_setting,
    "__delattr__": _refuse_deleting,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
