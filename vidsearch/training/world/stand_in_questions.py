"""Stand-ins for the benchmarks of questions: what colour is the thing in a held-out clip of the synthetic world?"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidsearch.training.world.eval_sets import retrieval_set
from vidsearch.training.world.files import FileFormat, write_video
from vidsearch.training.world.scene import COLOURS, OVERTAKE, Scene

FORMAT = FileFormat(128, 96, 12)
SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A question about a video with colours to choose from; `answer` is the number of the right one."""

    video: str
    question: str
    colours: tuple[str, ...]
    answer: int


def _choices(videos: Path, clips: int, seed: int, options: int, prefix: str = "clip") -> Iterator[Choice]:
    """Writes the videos and asks about each; clips of two things, one of which overtakes, are left out."""
    rng = np.random.default_rng((seed, 6))
    meanings = [own for own in retrieval_set(seed, 2 * clips).meanings if own.motion != OVERTAKE][:clips]
    videos.mkdir(parents=True, exist_ok=True)
    for number, meaning in enumerate(meanings):
        name = f"{prefix}{number}"
        scene = Scene(meaning, np.random.default_rng((seed, number)), aspect=FORMAT.aspect)
        write_video(videos / f"{name}.mp4", [(scene, SECONDS)], FORMAT)
        others = [colour for colour in COLOURS if colour != meaning.colour]
        colours = [others[int(i)] for i in rng.permutation(len(others))[: options - 1]]
        answer = int(rng.integers(options))
        colours.insert(answer, meaning.colour)
        yield Choice(name, f"what colour is the {meaning.shape}", tuple(colours), answer)


def write_mvbench(folder: Path, clips: int, seed: int = 2026) -> Path:
    """MVBench: `json/moving_attribute.json` and `json/state_change.json`, half of the clips each; the folder."""
    choices = list(_choices(folder / "video" / "clevrer", clips, seed, 3))
    for task, own in (("moving_attribute", choices[::2]), ("state_change", choices[1::2])):
        rows = [
            {
                "video": f"{each.video}.mp4",
                "question": f"{each.question}?",
                "candidates": each.colours,
                "answer": each.colours[each.answer],
            }
            for each in own
        ]
        _write(folder / "json" / f"{task}.json", rows)
    return folder


def write_egoschema(folder: Path, clips: int, seed: int = 2026) -> Path:
    """EgoSchema as its authors hand it out: questions.json and, of half of them, subset_answers.json; the folder."""
    choices = list(_choices(folder / "videos", clips, seed, 5))
    rows = [
        {
            "q_uid": each.video,
            "question": f"{each.question}?",
            **{f"option {n}": colour for n, colour in enumerate(each.colours)},
        }
        for each in choices
    ]
    _write(folder / "questions.json", rows)
    _write(folder / "subset_answers.json", {each.video: each.answer for each in choices[::2]})
    return folder


def write_nextqa(folder: Path, clips: int, seed: int = 2026) -> Path:
    """NExT-QA: test.csv and `NExTVideo/ID.mp4`; the folder."""
    choices = list(_choices(folder / "NExTVideo", clips, seed, 5, prefix="32387375"))
    with (folder / "test.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame_count", "width", "height", "question", "answer", "qid", "type",
                       *(f"a{n}" for n in range(5))])  # fmt: skip
        for qid, each in enumerate(choices):
            rows.writerow([each.video, 24, 128, 96, each.question, each.answer, qid, "DO", *each.colours])
    return folder


def write_perceptiontest(folder: Path, clips: int, seed: int = 2026) -> Path:
    """PerceptionTest as hubs have it: a JSON list of records and `videos/NAME.mp4`; the folder."""
    rows = [
        {
            "video_name": each.video,
            "question": f"{each.question}?",
            "question_id": number,
            "options": each.colours,
            "answer_id": each.answer,
            "area": "semantics",
            "reasoning": "descriptive",
            "tag": ["colour"],
        }
        for number, each in enumerate(_choices(folder / "videos", clips, seed, 3, prefix="video_"))
    ]
    _write(folder / "mc_question_val.json", rows)
    return folder


def write_mlvu(folder: Path, clips: int, seed: int = 2026) -> Path:
    """MLVU as its authors hand it out: `json/1_plotQA.json` and `video/1_plotQA/NAME.mp4`; the folder."""
    rows = [
        {
            "video": f"{each.video}.mp4",
            "duration": SECONDS,
            "question": f"{each.question}?",
            "candidates": each.colours,
            "answer": each.colours[each.answer],
            "question_type": "plotQA",
        }
        for each in _choices(folder / "video" / "1_plotQA", clips, seed, 4)
    ]
    _write(folder / "json" / "1_plotQA.json", rows)
    return folder


def write_activitynet_qa(folder: Path, clips: int, seed: int = 2026) -> Path:
    """ActivityNet-QA as its authors hand it out: test_q.json, test_a.json and `v_NAME.mp4`; the folder."""
    choices = list(_choices(folder, clips, seed, 2, prefix="v_"))
    names = [each.video.removeprefix("v_") for each in choices]
    asked = [
        {"video_name": name, "question": each.question, "question_id": f"{name}_0"}
        for name, each in zip(names, choices, strict=True)
    ]
    answers = [
        {"answer": each.colours[each.answer], "type": 4, "question_id": f"{name}_0"}
        for name, each in zip(names, choices, strict=True)
    ]
    _write(folder / "test_q.json", asked)
    _write(folder / "test_a.json", answers)
    return folder


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
