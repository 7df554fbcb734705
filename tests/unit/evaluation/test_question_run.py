"""A question set from files to figures, with a model whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import ScriptedAnswerer, ScriptedSession

from vidsearch.answering.interface import Clip, TimeRange
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.question_scores import judged_scores, normalised, write_for_judge, write_submission
from vidsearch.evaluation.run_questions import QuestionRequest, QuestionResult, evaluate_questions
from vidsearch.evaluation.video_vectors import Progress

FIVE = ["clap", "sit", "lie", "run", "crawl"]


class Answers(ScriptedAnswerer):
    """Says what belongs to the first piece of a prompt that it knows; one file is broken."""

    def __init__(self, by_words: Mapping[str, str]) -> None:
        super().__init__({})
        self.answers = _ByWords(by_words)
        self.clips: list[Clip] = []

    def encode(self, clip: Clip) -> ScriptedSession:
        if clip.path.stem == "broken":
            raise VideoError("corrupt", f"{clip.path} is damaged.")
        self.clips.append(clip)
        return super().encode(clip)


class _ByWords(dict[str, str]):
    def get(self, prompt: str, default: str = "") -> str:  # type: ignore[override]
        return next((answer for words, answer in self.items() if words in prompt), default)


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def videos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(b"not looked at")


def run(request: QuestionRequest, answerer: Answers, tmp_path: Path) -> QuestionResult:
    *progress, result = evaluate_questions(
        request, "scripted", _weights(tmp_path), lambda: answerer, tmp_path / "cache"
    )
    assert all(isinstance(event, Progress) for event in progress)
    assert isinstance(result, QuestionResult)
    return result


def mvbench(folder: Path) -> Path:
    videos(folder / "video", "one", "two", "broken")
    own = {"candidates": ["red", "blue", "green"], "answer": "blue"}
    first = [
        {"video": "one.mp4", "question": "first?", **own, "start": 1, "end": 2},
        {"video": "one.mp4", "question": "second?", **own, "start": 1, "end": 2},
        {"video": "two.mp4", "question": "third?", **own},
        {"video": "gone.mp4", "question": "fourth?", **own},
        {"video": "broken.mp4", "question": "fifth?", **own},
    ]
    write(folder / "json" / "action_sequence.json", first)
    write(folder / "json" / "state_change.json", [{"video": "two.mp4", "question": "sixth?", **own}])
    return folder


SAID = {"first?": "B. blue", "second?": "(A)", "third?": "", "sixth?": "Answer: b <|im_end|>"}


def test_mvbench_is_the_mean_of_its_tasks_and_says_what_is_left_out(tmp_path: Path) -> None:
    answerer = Answers(SAID)
    result = run(QuestionRequest("mvbench", mvbench(tmp_path / "data")), answerer, tmp_path)
    assert (result.items, result.left_out, result.missing) == (4, 2, ("gone.mp4",))
    assert list(result.unreadable) == ["broken.mp4"]
    assert result.metrics["tasks"] == {
        "action_sequence": {"accuracy": 50.0, "scored": 2},  # the empty answer leaves the denominator
        "state_change": {"accuracy": 100.0, "scored": 1},
    }
    assert result.metrics["accuracy"] == 75.0 and result.metrics["empty"] == 1
    assert (result.metrics["tasks_scored"], result.metrics["tasks_total"]) == (2, 20)
    assert [clip.path.stem for clip in answerer.clips] == ["one", "two"]  # a clip is encoded once
    assert answerer.clips[0].range == TimeRange()  # the whole video, as the published figures
    written = json.loads(json.dumps(result.as_dict()))
    assert {"set", "model", "items", "missing", "metrics", "published", "protocol"} <= written.keys()
    assert {"model": "Mobile-VideoGPT-0.5B", "accuracy": 53.5} in [
        {key: value for key, value in row.items() if key != "note"} for row in written["published"]
    ]
    assert "16 new tokens" in result.protocol and "whole videos" in result.protocol


def test_a_part_of_a_video_is_looked_at_where_it_is_wanted(tmp_path: Path) -> None:
    answerer = Answers(SAID)
    run(QuestionRequest("mvbench", mvbench(tmp_path / "data"), cut=True), answerer, tmp_path)
    assert [clip.range for clip in answerer.clips] == [TimeRange(1.0, 2.0), TimeRange()]


def test_answers_are_kept_by_file_and_model(tmp_path: Path) -> None:
    request = QuestionRequest("mvbench", mvbench(tmp_path / "data"))
    first, second, third, fourth = (Answers(SAID) for _ in range(4))
    events = evaluate_questions(request, "scripted", _weights(tmp_path), lambda: first, tmp_path / "cache")
    for event in events:
        if isinstance(event, Progress) and event.done == 1:
            events.close()  # type: ignore[attr-defined]
    kept = tmp_path / "cache" / "answers" / "scripted" / "mvbench.jsonl"
    with kept.open("a") as file:
        file.write('{"key": "half a li')
    result = run(request, second, tmp_path)
    assert len(first.asked) == 1 and len(second.asked) == 3  # of four, one was there
    assert run(request, third, tmp_path) == result and third.asked == []
    assert all(json.loads(line) for line in kept.read_text().splitlines())
    (tmp_path / "data" / "video" / "one.mp4").write_bytes(b"another one")
    run(request, fourth, tmp_path)
    assert len(fourth.asked) == 2
    fifth = Answers(SAID)
    (tmp_path / "weights").write_text("other weights")
    run(request, fifth, tmp_path)
    assert len(fifth.asked) == 4


def _weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    if not path.exists():
        path.write_text("weights")
    return path


def test_a_limit_takes_the_first_questions(tmp_path: Path) -> None:
    result = run(QuestionRequest("mvbench", mvbench(tmp_path / "data"), limit=2), Answers(SAID), tmp_path)
    assert (result.items, result.left_out) == (2, 0)


def egoschema(folder: Path) -> Path:
    videos(folder, "u1", "u2", "u3", "u4")
    own = {f"option {number}": option for number, option in enumerate(FIVE)}
    write(folder / "questions.json", [{"q_uid": f"u{n}", "question": f"q{n}?", **own} for n in (1, 2, 3, 4)])
    write(folder / "subset_answers.json", {"u1": 1, "u2": 0, "u3": 2})
    return folder


def test_egoschema_scores_what_is_public_and_writes_what_the_server_reads(tmp_path: Path) -> None:
    said = {"q1?": "B", "q2?": "no idea", "q3?": "E", "q4?": "(C) lie"}
    result = run(QuestionRequest("egoschema", egoschema(tmp_path / "data")), Answers(said), tmp_path)
    assert result.items == 4 and result.metrics["scored"] == 3
    assert result.metrics["accuracy"] == pytest.approx(100 / 3)
    assert result.metrics["drawn"] == 1 and result.metrics["accuracy_with_luck"] == pytest.approx(100 * 1.2 / 3)
    path = tmp_path / "out" / "submission.json"
    assert write_submission(path, [(each.question, each.answer) for each in result.answers]) == 1
    assert json.loads(path.read_text()) == {"u1": 1, "u2": 0, "u3": 4, "u4": 2}


def test_mlvu_by_both_rules(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    videos(folder, "v")
    rows = [
        {"video": "v.mp4", "question": f"{name}?", "candidates": ["x", "y"], "answer": "y", "question_type": task}
        for name, task in (("one", "ego"), ("two", "ego"), ("three", "count"))
    ]
    write(folder / "dev.json", rows)
    said = {"one?": "Both A and B)", "two?": "B", "three?": "The answer is B."}
    result = run(QuestionRequest("mlvu", folder), Answers(said), tmp_path)
    assert result.metrics["accuracy"] == 100.0  # a capital anywhere: "B" of Both
    assert (
        result.metrics["accuracy_since_2025_03_16"] == 50.0
    )  # "B" before the bracket, "B" alone; no bracket: all of it
    assert result.metrics["tasks_scored"] == 2 and result.metrics["pooled"] == 100.0


def test_activitynet_qa_without_and_with_a_judge(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    videos(folder, "v_a")
    rows = [
        {"video_name": "a", "question": name, "question_id": f"a_{number}", "answer": answer, "type": kind}
        for number, (name, answer, kind) in enumerate((("one", "yes", 3), ("two", "red", 4), ("three", "a dog", 5)))
    ]
    write(folder / "test.json", rows)
    said = {"One?": "yes", "Two?": "Red.", "Three?": "the dog runs"}
    answerer = Answers(said)
    result = run(QuestionRequest("activitynet-qa", folder), answerer, tmp_path)
    assert (result.metrics["exact"], result.metrics["normalised"]) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert result.metrics["tasks"]["colour"] == {"exact": 0.0, "normalised": 100.0, "scored": 1}
    assert "no judge was asked" in result.protocol and "64 new tokens" in result.protocol
    pairs = [(each.question, each.answer) for each in result.answers]
    write_for_judge(tmp_path / "judge.json", pairs)
    assert json.loads((tmp_path / "judge.json").read_text())[1] == {
        "video_name": "a", "Q": "two", "A": "red", "pred": "Red.", "question_id": "a_1", "type": "4",
    }  # fmt: skip
    replies = [
        {"question_id": "a_0", "reply": "{'pred': 'yes', 'score': 4.8}"},
        {"question_id": "a_1", "reply": "yes, 5"},
    ]
    judged = judged_scores(write(tmp_path / "replies.json", replies), pairs)
    assert judged == {"accuracy": pytest.approx(100 / 3), "score": pytest.approx(4 / 3), "unread": 2}
    with pytest.raises(VidsearchError, match="has no reply to a question of this set"):
        judged_scores(write(tmp_path / "others.json", [{"question_id": "b", "reply": ""}]), pairs)


def test_what_equal_answers_may_differ_in() -> None:
    assert normalised(" The  red, Car! ") == normalised("a red car") == "red car"


def test_a_set_without_its_videos_is_named(tmp_path: Path) -> None:
    folder = egoschema(tmp_path / "data")
    for path in folder.glob("*.mp4"):
        path.unlink()
    with pytest.raises(VidsearchError, match="None of the videos of 4 questions of egoschema is below"):
        run(QuestionRequest("egoschema", folder), Answers({}), tmp_path)
