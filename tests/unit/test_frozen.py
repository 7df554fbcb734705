"""Classes that are made quickly behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any, ClassVar

import pytest

from vidsearch.errors import ModelError
from vidsearch.frozen import dataclass
from vidsearch.models.schema import read_record


@dataclass(frozen=True, slots=True)
class Quick:
    """A point."""

    kind: ClassVar[str] = "point"

    x: int
    y: float = 0.5
    label: str | None = None

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x below 0")

    @property
    def doubled(self) -> int:
        return 2 * self.x


@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """A point."""

    kind: ClassVar[str] = "point"

    x: int
    y: float = 0.5
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Alone:
    """One value."""

    value: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    """No value."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the standard library makes: a default that is made anew each time."""

    values: list[int] = dataclasses.field(default_factory=list)


def described(kind: Any) -> list[tuple[Any, ...]]:
    return [(f.name, f.type, f.default, f.default_factory, f.init, f.repr, f.kw_only) for f in dataclasses.fields(kind)]


def test_it_is_a_dataclass_with_the_same_fields() -> None:
    assert dataclasses.is_dataclass(Quick)
    assert described(Quick) == described(Plain)
    assert described(Quick(1)) == described(Plain)
    assert dataclasses.asdict(Quick(1, label="a")) == {"x": 1, "y": 0.5, "label": "a"}
    assert dataclasses.replace(Quick(1), y=2.0) == Quick(1, 2.0)
    assert Quick.__match_args__ == Plain.__match_args__ == ("x", "y", "label")
    assert Quick.kind == "point"
    assert (Quick.__name__, Quick.__module__, Quick.__doc__) == ("Quick", __name__, "A point.")


def test_no_signature_is_worked_out_to_describe_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True)
    class Fresh:
        """Not yet described."""

        x: int

    monkeypatch.delattr(inspect, "signature")  # takes longer than all else of the description
    assert [field.name for field in dataclasses.fields(Fresh)] == ["x"]


def test_it_compares_hashes_and_shows_as_the_standard_library_does() -> None:
    assert Quick(1, 2.0) == Quick(1, 2.0)
    assert Quick(1) != Quick(2)
    assert Quick(1) != Plain(1)
    assert hash(Quick(1, 2.0, "a")) == hash(Plain(1, 2.0, "a"))
    assert repr(Quick(1, label="a")) == "Quick(x=1, y=0.5, label='a')"
    assert (Alone((1,)), hash(Alone((1,))), repr(Alone((1,)))) == (Alone((1,)), hash(((1,),)), "Alone(value=(1,))")
    assert (Nothing() == Nothing(), hash(Nothing()), repr(Nothing())) == (True, hash(()), "Nothing()")
    assert len({Quick(1), Quick(1), Quick(2)}) == 2


def test_it_refuses_what_the_standard_library_refuses() -> None:
    point: Any = Quick(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'other'"):
        point.other = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Quick()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Quick(1, z=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="x below 0"):
        Quick(-1)
    assert not hasattr(point, "__dict__")


def test_it_is_pickled_copied_matched_and_read_from_json() -> None:
    point = Quick(3, 1.5, "b")
    assert pickle.loads(pickle.dumps(point)) == copy.deepcopy(point) == copy.copy(point) == point
    match point:
        case Quick(x, y, label):
            assert (x, y, label) == (3, 1.5, "b")
    assert point.doubled == 6
    assert read_record(Quick, {"x": 3, "y": 1.5, "label": "b"}, "") == point
    with pytest.raises(ModelError, match="lacks the field x"):
        read_record(Quick, {"y": 1.0}, "")


def test_what_is_not_simple_is_left_to_the_standard_library() -> None:
    assert Made() == Made([])
    assert Made().values is not Made().values

    @dataclasses.dataclass(frozen=True, slots=True)
    class Labelled(Alone):
        label: str = ""

    assert Labelled((1,), "a") == Labelled((1,), "a")
    assert [field.name for field in dataclasses.fields(Labelled)] == ["value", "label"]
    assert [field.name for field in dataclasses.fields(Alone)] == ["value"]


def test_a_default_that_can_change_is_refused() -> None:
    with pytest.raises(ValueError, match="mutable default"):

        @dataclass(frozen=True, slots=True)
        class Wrong:
            values: list[int] = []  # noqa: RUF012 - what is to be refused
