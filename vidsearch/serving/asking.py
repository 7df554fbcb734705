"""Questions about a moment: one at a time, the model loaded with the first and kept, words as they come."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio

from vidsearch import json_forms
from vidsearch.answering.interface import Clip, GenerationOptions
from vidsearch.errors import VidsearchError
from vidsearch.workflows.ask import Answered, AskOutcome, ClipEncoded, Piece, QuestionPut, ask_about, check_question

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer

log = logging.getLogger(__name__)

MOST_QUESTION = 2000  # characters
MOST_WAITING = 8
_END = object()


class Asking:
    """One thread that answers, however many ask. `open_answerer` is called with the first question."""

    def __init__(self, model: str, open_answerer: Callable[[], Answerer]) -> None:
        self.model = model
        self._open_answerer = open_answerer
        self._answerer: Answerer | None = None
        self._answering = threading.Lock()
        self._waiting = 0

    async def stream(self, clip: Clip, question: str) -> AsyncIterator[dict[str, Any]]:
        """`waiting`, `encoded`, `question`, `piece`..., `answered`; or `error`. It ends when its reader leaves."""
        check_question(question)
        if self._waiting >= MOST_WAITING:
            yield {"kind": "error", "error": "Too many questions wait already; ask again in a while."}
            return
        outcomes: queue.Queue[object] = queue.Queue()
        left = threading.Event()
        self._waiting += 1
        thread = threading.Thread(target=self._run, args=(clip, question, outcomes, left), daemon=True)
        thread.start()
        try:
            yield {"kind": "waiting", "model": self.model}
            while (outcome := await anyio.to_thread.run_sync(_next, outcomes, abandon_on_cancel=True)) is not _END:
                if outcome is not None:
                    yield _form(outcome)
        finally:
            left.set()
            self._waiting -= 1

    def _run(self, clip: Clip, question: str, outcomes: queue.Queue[object], left: threading.Event) -> None:
        try:
            with self._answering, closing(self._outcomes(clip, question)) as coming:
                for outcome in coming:
                    if left.is_set():
                        return
                    outcomes.put(outcome)
        except VidsearchError as error:
            outcomes.put(error)
        except Exception as error:  # a bug: one line, as in guard.py
            log.error("an answer failed: %r", error)
            log.debug("the traceback", exc_info=True)
            outcomes.put(VidsearchError("The server failed; its log has a line about it."))
        finally:
            outcomes.put(_END)

    def _outcomes(self, clip: Clip, question: str) -> Generator[AskOutcome, None, None]:
        if self._answerer is None:
            self._answerer = self._open_answerer()
        yield from ask_about(clip, [question], self._answerer, GenerationOptions())


def _next(outcomes: queue.Queue[object]) -> object:
    """The next outcome; None after a while, so that the thread of a viewer who left comes back."""
    try:
        return outcomes.get(timeout=1.0)
    except queue.Empty:
        return None


def _form(outcome: object) -> dict[str, Any]:
    match outcome:
        case ClipEncoded(clip, device):
            return {"kind": "encoded", **json_forms.encoded_clip(clip), "device": device}
        case QuestionPut(question, unknown):
            return {"kind": "question", "question": question, "unknown_words": list(unknown)}
        case Piece(text):
            return {"kind": "piece", "text": text}
        case Answered(_, text, tokens, reason):
            return {"kind": "answered", "answer": text, "tokens": tokens, "finish_reason": reason}
        case VidsearchError():
            return {"kind": "error", "error": str(outcome), "ways": list(outcome.ways)}
    raise TypeError(outcome)
