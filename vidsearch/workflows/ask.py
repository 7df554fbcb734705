"""Hit + question ─▶ frames ─▶ text.

The workflow yields what happens as it happens, the answer in pieces; the command draws it and a test reads a list.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch.errors import VideoError, VidsearchError

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer, Clip, EncodedClip, GenerationOptions
    from vidsearch.records import FinishReason

# What indexing would have the user do about a file says nothing to somebody who asks about it.
_ADVICE = {
    "vanished": "is no longer there; give a video that exists",
    "changing": "is still being written; ask again when it is complete",
    "timeout": "kept the decoder busy for too long and was given up; ask about a part of it with --start and --end",
    "crashed": "made the decoder crash; convert it to another format and ask again",
    "memory": "needs more memory than a decoder may take; allow more with --decoder-memory",
}


@dataclass(frozen=True, slots=True)
class ClipEncoded:
    """The clip is encoded; questions about it follow."""

    clip: EncodedClip
    device: str


@dataclass(frozen=True, slots=True)
class QuestionPut:
    """A question is about to be answered. `unknown_words` are those that the model does not know."""

    question: str
    unknown_words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the answer, as it came."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The whole answer, as far as `finish_reason` let it come; after Ctrl-C that is "interrupted"."""

    question: str
    text: str
    tokens: int
    finish_reason: FinishReason


AskOutcome = ClipEncoded | QuestionPut | Piece | Answered


def ask_about(
    clip: Clip,
    questions: Iterable[str],
    answerer: Answerer,
    options: GenerationOptions,
    *,
    chat: bool = False,
    stoppable: bool = False,
) -> Iterator[AskOutcome]:
    """Encodes the clip once and answers the questions, which may come as they are typed.

    `chat`: each question follows those before it; otherwise each stands alone. `stoppable`: Ctrl-C ends the answer
    that is being given and no more. Raises VideoError if the file cannot be read, VidsearchError for an empty question
    and for a range that the clip does not have.
    """
    _check_file(clip.path)
    try:
        session = answerer.encode(clip)
    except VideoError as error:
        advice = _ADVICE.get(error.kind)
        raise (VideoError(error.kind, f"{clip.path} {advice}.") if advice else error) from error
    yield ClipEncoded(session.clip, answerer.device)
    for number, question in enumerate(questions):
        check_question(question)
        yield QuestionPut(question, tuple(answerer.unknown_words(question)))
        pieces: list[str] = []
        reason: FinishReason = "interrupted"
        try:
            for piece in session.ask(question, options, keep_history=chat and number > 0):
                pieces.append(piece)
                yield Piece(piece)
            reason = session.finish_reason
        except KeyboardInterrupt:
            if not stoppable:
                raise
        yield Answered(question, "".join(pieces), session.tokens, reason)


def check_question(question: str) -> None:
    """VidsearchError for a question without words, or with bytes that are not text."""
    if not question.strip():
        raise VidsearchError("The question is empty; ask it in words, as in: vidsearch ask clip.mp4 'what happens?'")
    try:
        question.encode()
    except UnicodeEncodeError:  # what Python makes of stray bytes
        raise VidsearchError(f"The question {question} is not UTF-8 text; write it in UTF-8 and ask again.") from None


def _check_file(path: Path) -> None:
    """VidsearchError unless there is a file; a pipe or a device would be waited for, and cannot be read twice."""
    if not os.path.lexists(path):
        raise VidsearchError(f"There is no {path}; give a video that exists, or the number of a hit.")
    if path.is_dir():
        raise VidsearchError(f"{path} is a folder; name one video in it, or query it and ask about a hit.")
    if path.exists() and not path.is_file():
        raise VidsearchError(f"{path} is not an ordinary file; save the video in one and ask about that.")
