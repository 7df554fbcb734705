"""`vidsearch evaluate questions` with the bundled answering model on clips of its world."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from json_schemas import follows
from support import CLIPS, RunVidsearch

NANO = ("--model", "mobilevideogpt-nano")


@pytest.fixture(scope="module")
def activitynet_qa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ActivityNet-QA")
    rows = []
    for number, clip in enumerate(("yellow-star-blinks", "blue-heart-grows")):
        colour, shape, _ = clip.split("-", 2)
        (folder / f"v_{clip}.mp4").symlink_to(CLIPS / f"{clip}.mp4")
        asked = f"what colour is the {shape}"
        rows.append({"video_name": clip, "question": asked, "question_id": number, "answer": colour, "type": 4})
    rows.append({"video_name": "gone", "question": "what is there", "question_id": 2, "answer": "no", "type": 8})
    (folder / "test.json").write_text(json.dumps(rows))
    return folder


def test_answers_are_scored_and_kept(activitynet_qa: Path, tmp_path: Path, command: RunVidsearch) -> None:
    words = ("evaluate", "questions", "activitynet-qa", "--data", activitynet_qa, *NANO)
    answers = tmp_path / "judge.json"
    done = command(*words, "--json", "--answers", answers)
    assert done.returncode == 0
    result = follows("evaluate-questions", done.stdout)
    assert (result["set"], result["model"], result["items"]) == ("activitynet-qa", "mobilevideogpt-nano", 2)
    assert result["missing"] == ["gone"] and result["left_out"] == 1 and result["unreadable"] == {}
    assert result["metrics"]["tasks"].keys() == {"colour"}
    written = json.loads(answers.read_text())
    assert [record["A"] for record in written] == ["yellow", "blue"]
    assert written[0]["pred"] == "a large yellow"  # more than the one word asked for, which nano does not understand
    assert f"What lmms-eval's judge reads is in {answers}.".encode() in done.stderr
    kept = tmp_path / "vidsearch-home" / "cache" / "evaluation" / "answers" / "mobilevideogpt-nano"
    before = (kept / "activitynet-qa.jsonl").read_bytes()
    replies = tmp_path / "replies.json"
    replies.write_text(json.dumps([{"question_id": 0, "reply": "{'pred': 'yes', 'score': 5}"}]))
    again = command(*words, "--judged", replies)
    done = command(*words, "--judged", replies, "--json")
    assert follows("evaluate-questions", done.stdout)["metrics"]["judge"] == {"accuracy": 50, "score": 2.5, "unread": 1}
    assert (kept / "activitynet-qa.jsonl").read_bytes() == before
    lines = again.stdout.decode().splitlines()
    assert lines[0] == "mobilevideogpt-nano on activitynet-qa: 2 questions"
    assert lines[1].split("\t")[0] == "colour" and "by the judge: 50.0, mean score 2.50, 1 unread" in lines


def test_a_folder_of_pictures_is_a_video_of_mvbench(tmp_path: Path, command: RunVidsearch) -> None:
    folder = tmp_path / "video" / "tvqa" / "frames_fps3_hq" / "s01"
    folder.mkdir(parents=True)
    for number in range(7):
        with av.open(str(folder / f"{number:05d}.jpg"), "w", format="mjpeg") as container:
            stream = container.add_stream("mjpeg", rate=1)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuvj420p"
            picture = np.full((64, 64, 3), (200, 30, 30), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    (tmp_path / "json").mkdir()
    row = {"video": "s01", "question": "What is there?", "candidates": ["a dog", "a cat"], "answer": "a cat"}
    broken = {**row, "video": "s02"}
    (folder.parent / "s02").mkdir()
    (folder.parent / "s02" / "1.jpg").write_bytes(b"no picture")
    (tmp_path / "json" / "episodic_reasoning.json").write_text(json.dumps([row, broken]))
    done = command("evaluate", "questions", "mvbench", "--data", tmp_path, *NANO, "--json")
    assert done.returncode == 3
    result = follows("evaluate-questions", done.stdout)
    assert result["items"] == 1 and list(result["unreadable"]) == ["s02"]
    assert "cannot be read as a picture" in result["unreadable"]["s02"]
    assert list(result["metrics"]["tasks"]) == ["episodic_reasoning"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("vqa2", "--data", "."), 2, b"No question set is called 'vqa2'"),
        (("mvbench", "--data", ".", *NANO), 2, b"holds no JSON, CSV or Parquet file"),
        (("mvbench", "--data", ".", "--judged", "x"), 2, b"--judged goes with activitynet-qa"),
        (("mvbench", "--data", ".", "--answers", "x"), 2, b"--answers goes with activitynet-qa and egoschema"),
        (("mvbench", "--data", ".", "--model", "mobileviclip-nano"), 5, b"mobileviclip-nano"),
    ],
)
def test_mistakes_are_named(
    words: tuple[str, ...], code: int, message: bytes, tmp_path: Path, command: RunVidsearch
) -> None:
    done = command("evaluate", "questions", *words, cwd=tmp_path)
    assert done.returncode == code and message in done.stderr
