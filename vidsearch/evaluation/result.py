"""The JSON form that the results of all sets share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vidsearch.evaluation.published import Published
from vidsearch.json_forms import VERSION


class SetResult(Protocol):
    """The figures of a set, and which of its videos are not in them."""

    @property
    def set(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def items(self) -> int: ...
    @property
    def missing(self) -> tuple[str, ...]: ...
    @property
    def unreadable(self) -> dict[str, str]: ...
    @property
    def metrics(self) -> Mapping[str, Any]: ...
    @property
    def published(self) -> tuple[Published, ...]: ...
    @property
    def protocol(self) -> str: ...


def result_form(result: SetResult, **counts: int) -> dict[str, Any]:
    """The fields that docs/json.md names for every set; `counts` are those of one kind, behind `items`."""
    return {
        "version": VERSION,
        "set": result.set,
        "model": result.model,
        "items": result.items,
        **counts,
        "missing": list(result.missing),
        "unreadable": result.unreadable,
        "metrics": result.metrics,
        "published": [each.as_dict() for each in result.published],
        "protocol": result.protocol,
    }
