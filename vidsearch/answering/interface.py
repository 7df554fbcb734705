"""What answers questions about a clip: what it is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vidsearch.records import FinishReason

ComputePrecision = Literal["auto", "float32", "bfloat16", "int8"]
Coverage = Literal["reference", "full"]

DEFAULT_MAX_NEW_TOKENS = 256


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
class EncodedClip:
    """What was encoded: the seconds [start_s, end_s) of a clip, and its frames by their times."""

    path: Path
    start_s: float
    end_s: float
    times_s: tuple[float, ...]  # of the frames that the image encoder got
    keyframes_s: tuple[float, ...]  # of those frames that the video encoder got as well
    model: str
    from_cache: bool  # neither decoded nor encoded now
    damage: str | None = None  # one sentence if a part of the file could not be read

    @property
    def chosen_s(self) -> tuple[float, ...]:
        """`keyframes_s` under its old name, for this version."""
        return self.keyframes_s


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """How an answer is made: at most so many tokens, the likeliest ones (temperature 0) or drawn, from a seed."""

    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    temperature: float = 0.0
    seed: int | None = None


# The old public names, for this version.
AnswerLimits = GenerationOptions
SeenClip = EncodedClip


class ClipSession(Protocol):
    """An encoded clip. Questions about it share the encoding, and what the language model made of it."""

    clip: EncodedClip

    @property
    def tokens(self) -> int:
        """Tokens of the last answer, as far as it has come."""
        ...

    @property
    def finish_reason(self) -> FinishReason:
        """Why the last answer ended; "interrupted" while it is not at its end."""
        ...

    def ask(self, question: str, options: GenerationOptions, *, keep_history: bool = False) -> Iterator[str]:
        """The answer in pieces, as they come. `keep_history`: it follows the questions and answers before.

        Raises VidsearchError if the question, or the conversation, is longer than the model can take.
        """
        ...


class Answerer(Protocol):
    """Clips and questions → answers of one model."""

    model: str
    device: str  # for people: what computes, in which precision

    def encode(self, clip: Clip) -> ClipSession:
        """Raises VideoError if the file cannot be read, VidsearchError for a range that it does not have."""
        ...

    def unknown_words(self, question: str) -> list[str]:
        """The words of a question that the model does not know; always [] for one with a full vocabulary."""
        ...
