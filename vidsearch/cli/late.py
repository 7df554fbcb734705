"""typer, imported when a command line needs it.

Importing typer, and pydantic with it, takes longer than a query. So commands declare their parameters through `typer`
of this module, which keeps what is said of an option and imports nothing; every other name is that of typer itself.
`plain.py` reads ordinary command lines by these declarations, and `with_parameters` makes typer's own of them where
typer is to read one.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from vidsearch.cli.overview import Ended


class Declared(NamedTuple):
    """What was said of a parameter: `kind` is Option or Argument, the rest what typer takes."""

    kind: str
    flags: tuple[str, ...]
    facts: dict[str, Any]


if TYPE_CHECKING:
    import typer as typer
else:

    class _LateTyper:
        @property
        def Exit(self) -> type[Exception]:  # noqa: N802 - typer's name
            return sys.modules["typer"].Exit if "typer" in sys.modules else Ended

        def Option(self, *flags: str, **facts: Any) -> Declared:  # noqa: N802 - typer's name
            return Declared("Option", flags, facts)

        def Argument(self, *flags: str, **facts: Any) -> Declared:  # noqa: N802 - typer's name
            return Declared("Argument", flags, facts)

        def __getattr__(self, name: str) -> Any:
            import typer

            return getattr(typer, name)

    typer = _LateTyper()


def declared(function: Callable[..., Any]) -> dict[str, tuple[Any, Declared | None, Any]]:
    """The parameters of a command by name: type, declaration, and default (inspect.Parameter.empty for none)."""
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind, declaration = hints[name], None
        if get_origin(kind) is Annotated:
            kind, *said = get_args(kind)
            declaration = next((one for one in said if isinstance(one, Declared)), None)
        found[name] = kind, declaration, parameter.default
    return found


def with_parameters(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same command, its declarations turned into typer's own parameters."""
    import typer

    @functools.wraps(function)
    def command(*arguments: Any, **values: Any) -> Any:
        return function(*arguments, **values)

    hints = get_type_hints(function, include_extras=True)
    for name, (kind, declaration, _) in declared(function).items():
        if declaration is not None:
            parameter = getattr(typer, declaration.kind)(*declaration.flags, **declaration.facts)
            hints[name] = Annotated[kind, parameter]
    signature = inspect.signature(function)
    told = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    command.__annotations__ = hints
    command.__signature__ = signature.replace(parameters=told)  # type: ignore[attr-defined]  # what typer looks at
    return command
