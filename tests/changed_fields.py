"""A JSON value with one of its fields changed: every field, and every value that a hand or a fault may put there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

GONE = object()
STRANGE: tuple[Any, ...] = (
    GONE,
    None,
    True,
    "",
    "text",
    "../../etc/passwd",
    "a\x1b[2Jb\0",
    -1,
    0,
    1,
    2,
    7,
    1 << 16,
    10**30,
    0.5,
    math.nan,
    math.inf,
    1e308,
    [],
    [[]],
    {},
    {"text": {}},
    [1] * 1000,
)
Place = tuple[str | int, ...]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """The way to every field and entry of a JSON value, outer ones first."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*here, step)
        yield from places(inner, (*here, step))


def changed(value: Any, place: Place, new: Any) -> Any:
    """A copy of `value` with another value at `place`, or without it."""
    result = copy.deepcopy(value)
    *way, last = place
    holder = result
    for step in way:
        holder = holder[step]
    if new is GONE:
        del holder[last]
    else:
        holder[last] = new
    return result
