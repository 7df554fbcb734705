"""Asking as a workflow: what is yielded, what Ctrl-C ends, and which clips and questions are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import ScriptedAnswerer

from vidsearch import json_forms
from vidsearch.answering.interface import Clip, GenerationOptions
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.workflows.ask import Answered, AskOutcome, ClipEncoded, Piece, QuestionPut, ask_about

OPTIONS = GenerationOptions(max_new_tokens=12)
ANSWERS = {"what is there?": "a red square", "who?": "a dog"}


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"read by nobody")
    return Clip(path)


@pytest.fixture
def answerer() -> ScriptedAnswerer:
    return ScriptedAnswerer(ANSWERS)


def begun(clip: Clip, answerer: ScriptedAnswerer, *, stoppable: bool) -> tuple[Iterator[AskOutcome], Piece]:
    """A conversation of two questions whose first answer has begun."""
    outcomes = ask_about(clip, list(ANSWERS), answerer, OPTIONS, chat=True, stoppable=stoppable)
    return outcomes, next(outcome for outcome in outcomes if isinstance(outcome, Piece))


def test_a_clip_is_encoded_once_and_each_question_answered(clip: Clip, answerer: ScriptedAnswerer) -> None:
    outcomes = list(ask_about(clip, [*ANSWERS, "why?"], answerer, OPTIONS))
    assert [type(outcome) for outcome in outcomes].count(ClipEncoded) == 1
    assert [outcome for outcome in outcomes if isinstance(outcome, QuestionPut)] == [
        QuestionPut("what is there?", ()),
        QuestionPut("who?", ()),
        QuestionPut("why?", ("why?",)),
    ]
    assert [outcome for outcome in outcomes if isinstance(outcome, Answered)] == [
        Answered("what is there?", "a red square", 3, "stop"),
        Answered("who?", "a dog", 2, "stop"),
        Answered("why?", "", 0, "stop"),
    ]
    assert answerer.asked == [("what is there?", False), ("who?", False), ("why?", False)]


def test_questions_are_taken_as_they_come(clip: Clip, answerer: ScriptedAnswerer) -> None:
    """A question that is typed after an answer is not awaited before it."""
    taken: list[str] = []

    def typed() -> Iterator[str]:
        for question in ANSWERS:
            taken.append(question)
            yield question

    for outcome in ask_about(clip, typed(), answerer, OPTIONS):
        if isinstance(outcome, Answered):
            assert taken[-1] == outcome.question
    assert taken == list(ANSWERS)


def test_a_conversation_keeps_its_history_from_the_second_question_on(clip: Clip, answerer: ScriptedAnswerer) -> None:
    list(ask_about(clip, list(ANSWERS), answerer, OPTIONS, chat=True))
    assert answerer.asked == [("what is there?", False), ("who?", True)]


def test_ctrl_c_in_a_conversation_ends_the_answer_and_the_next_question_is_answered(
    clip: Clip, answerer: ScriptedAnswerer
) -> None:
    outcomes, piece = begun(clip, answerer, stoppable=True)
    stopped = outcomes.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert stopped == Answered("what is there?", piece.text, 1, "interrupted")
    rest = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
    assert rest == [Answered("who?", "a dog", 2, "stop")]


def test_elsewhere_ctrl_c_ends_everything(clip: Clip, answerer: ScriptedAnswerer) -> None:
    outcomes, _ = begun(clip, answerer, stoppable=False)
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reason", "cut_short"), [("stop", False), ("length", True), ("context", True), ("interrupted", False)]
)
def test_json_tells_why_an_answer_ended(clip: Clip, reason: str, cut_short: bool) -> None:
    answerer = ScriptedAnswerer(ANSWERS, reason)  # type: ignore[arg-type]
    [answer] = json_forms.answers(ask_about(clip, ["who?"], answerer, OPTIONS))["answers"]
    assert (answer["finish_reason"], answer["cut_short"]) == (reason, cut_short)


def test_json_has_the_keyframes_under_both_names(clip: Clip, answerer: ScriptedAnswerer) -> None:
    found = json_forms.answers(ask_about(clip, ["who?"], answerer, OPTIONS))
    assert found["keyframes_s"] == found["kept_s"] == [0.0, 1.0]
    assert (found["frames_s"], found["path"], found["device"]) == ([0.0, 1.0, 2.0, 3.0], str(clip.path), "none")


def test_what_indexing_advises_is_put_for_somebody_who_asks(clip: Clip) -> None:
    class Hanging(ScriptedAnswerer):
        def encode(self, clip: Clip) -> object:  # type: ignore[override]
            raise VideoError("timeout", "exclude it")

    with pytest.raises(VideoError, match="ask about a part of it with --start and --end") as caught:
        list(ask_about(clip, ["who?"], Hanging(ANSWERS), OPTIONS))
    assert caught.value.kind == "timeout"


def test_an_empty_question_is_refused_before_it_is_put(clip: Clip, answerer: ScriptedAnswerer) -> None:
    with pytest.raises(VidsearchError, match="The question is empty"):
        list(ask_about(clip, ["who?", " "], answerer, OPTIONS))
    assert answerer.asked == [("who?", False)]
