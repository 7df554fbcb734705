"""What enters from JSON has the types, bounds and fields of its dataclass, or the message names the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.schema import Within, read_record


@dataclass(frozen=True, slots=True)
class Part:
    width: Annotated[int, Within(1, 8)]
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.width == 7:
            raise ValueError("seven has no halves")


@dataclass(frozen=True, slots=True)
class Whole:
    parts: tuple[Part, ...]
    pair: tuple[int, int]
    fit: Literal["squash", "crop"] = "crop"
    on: bool = True
    label: Annotated[str, Within(1, 5)] | None = None
    table: Mapping[str, int] | None = None
    anything: Any = None


@dataclass(frozen=True, slots=True)
class Open:
    open_fields: ClassVar[bool] = True
    name: str = ""


GOOD: dict[str, Any] = {"parts": [{"width": 2}, {"width": 8, "rate": 1}], "pair": [1, 2]}


def test_a_record_is_read_with_its_defaults() -> None:
    assert read_record(Whole, GOOD, "it") == Whole((Part(2), Part(8, 1)), (1, 2))
    more = {**GOOD, "fit": "squash", "on": False, "label": "a", "table": {"x": 3}, "anything": [1, {"a": None}]}
    assert read_record(Whole, more, "it") == Whole(
        (Part(2), Part(8, 1)), (1, 2), "squash", False, "a", {"x": 3}, [1, {"a": None}]
    )


def test_unknown_fields_are_left_alone_where_a_class_says_so() -> None:
    assert read_record(Open, {"name": "x", "later": 3}, "it") == Open("x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair": [1]}, "it.pair must have 2 entries, not 1"),
        ({"pair": 3}, "it.pair must be a list, not 3"),
        ({"pair": [1, True]}, r"it.pair\[1\] must be a whole number, not True"),
        ({"pair": [1, 1.5]}, r"it.pair\[1\] must be a whole number, not 1.5"),
        ({"pair": [1, 10**5000]}, r"it.pair\[1\] must be a whole number from .* not a number of 16610 bits"),
        ({"parts": [{"width": 0}]}, r"it.parts\[0\].width must be a whole number from 1 to 8, not 0"),
        ({"parts": [{"width": "2"}]}, r"it.parts\[0\].width must be a whole number, not '2'"),
        ({"parts": [{}]}, r"it.parts\[0\] lacks the field width"),
        ({"parts": [{"width": 7}]}, r"it.parts\[0\] does not go together: seven has no halves"),
        ({"parts": [{"width": 1, "rate": float("nan")}]}, "rate must be a number from .* not nan"),
        ({"parts": [{"width": 1, "rate": float("inf")}]}, "rate must be a number from .* not inf"),
        ({"parts": [3]}, r"it.parts\[0\] must be an object with fields, not 3"),
        ({"fit": "stretch"}, "it.fit must be one of squash, crop, not stretch"),
        ({"fit": ["squash"]}, "it.fit must be one of squash, crop, not"),
        ({"on": 1}, "it.on must be true or false, not 1"),
        ({"label": ""}, "it.label must have from 1 to 5 entries, not 0"),
        ({"label": 3}, "it.label must be a text, not 3"),
        ({"table": {"x": "y"}}, "it.table.x must be a whole number, not y"),
        ({"table": []}, r"it.table must be an object, not \[\]"),
        ({"speed": 3}, "it has an unknown field speed"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_record(Whole, {**GOOD, **change}, "it")


def test_a_missing_field_of_the_top_is_named() -> None:
    with pytest.raises(ModelError, match="it lacks the field pair"):
        read_record(Whole, {"parts": []}, "")
