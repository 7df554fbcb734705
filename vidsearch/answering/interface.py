"""What answers questions about a clip: what it is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Precision = Literal["auto", "float32", "bfloat16", "int8"]
Coverage = Literal["reference", "full"]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """[start_s, end_s) in container presentation time; None: from the first frame, to the end of the last one."""

    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """A file, the range of it to look at, and how its frames are spread over the range."""

    path: Path
    range: TimeRange = field(default_factory=TimeRange)
    coverage: Coverage = "reference"


@dataclass(frozen=True, slots=True)
class SeenClip:
    """What was looked at: the seconds [start_s, end_s) of a clip, and its frames by their times."""

    path: Path
    start_s: float
    end_s: float
    times_s: tuple[float, ...]  # of the frames whose pictures the model got
    chosen_s: tuple[float, ...]  # of those frames whose motion it got as well
    model: str
    from_cache: bool  # neither decoded nor encoded now
    damage: str | None = None  # one sentence where a part of the file could not be read


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How an answer is made: at most so many tokens, the likeliest ones (temperature 0) or drawn, from a seed."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None


class Viewing(Protocol):
    """A clip that has been looked at. Questions about it share what was made of the clip."""

    seen: SeenClip
    tokens: int  # of the last answer, as far as it has come
    cut_short: bool  # the last answer ended at `max_new_tokens`, or where the model takes no more

    @property
    def full(self) -> bool:
        """The model takes no more tokens."""
        ...

    def ask(self, question: str, limits: AnswerLimits, *, go_on: bool = False) -> Iterator[str]:
        """The answer in pieces, as they come. `go_on`: the questions and answers before count as said before it.

        Raises VidsearchError where the question, or the conversation, is longer than the model can take.
        """
        ...


class Answerer(Protocol):
    """Clips and questions → answers of one model."""

    model: str
    device: str  # for people: what computes, in which precision

    def look(self, clip: Clip) -> Viewing:
        """Raises VideoError where the file cannot be read, VidsearchError for a range that it does not have."""
        ...

    def unknown_words(self, question: str) -> list[str]:
        """The words of a question that the model does not know; always [] for one with a full vocabulary."""
        ...
