"""Asking as a workflow: what Ctrl-C ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from asking_model import make_answering_folder
from support import CLIPS

from vidsearch.answering.interface import AnswerLimits, Clip
from vidsearch.answering.mobilevideogpt.answerer import MobileVideoGPTAnswerer
from vidsearch.answering.visual_cache import VisualCache
from vidsearch.workflows.ask import Answered, Outcome, Piece, ask_about

CLIP = Clip(CLIPS / "red-square-left-then-up.mp4")
LIMITS = AnswerLimits(max_new_tokens=12)


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> MobileVideoGPTAnswerer:
    folder = make_answering_folder(tmp_path_factory.mktemp("answerer") / "mobilevideogpt-0.5b")
    cache = VisualCache(tmp_path_factory.mktemp("cache"))
    return MobileVideoGPTAnswerer(folder, device="cpu", precision="float32", cache=cache)


def begun(answerer: MobileVideoGPTAnswerer, *, stoppable: bool) -> tuple[Iterator[Outcome], Piece]:
    """A conversation of two questions whose first answer has begun."""
    outcomes = ask_about(CLIP, ["what is there?", "who?"], answerer, LIMITS, chat=True, stoppable=stoppable)
    return outcomes, next(outcome for outcome in outcomes if isinstance(outcome, Piece))


def test_ctrl_c_in_a_conversation_ends_the_answer_and_the_next_question_is_answered(
    answerer: MobileVideoGPTAnswerer,
) -> None:
    outcomes, piece = begun(answerer, stoppable=True)
    stopped = outcomes.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert isinstance(stopped, Answered) and stopped.stopped and stopped.text == piece.text
    rest = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
    assert [(answer.question, answer.stopped) for answer in rest] == [("who?", False)] and rest[0].text


def test_elsewhere_ctrl_c_ends_everything(answerer: MobileVideoGPTAnswerer) -> None:
    outcomes, _ = begun(answerer, stoppable=False)
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
