"""The clips and questions of examples/clips: as the command writes them, held out, and with one right answer each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.records import FrameSpec
from vidsearch.training.world.clips import meanings, questions
from vidsearch.training.world.scene import allowed, look_is_held_out
from vidsearch.video.reader import open_reader

CLIPS = Path(__file__).parents[3] / "examples" / "clips"


def test_every_look_is_one_that_training_never_shows() -> None:
    for name, shown in meanings().items():
        for meaning in shown:
            assert look_is_held_out(meaning.shape, meaning.colour, meaning.background) and allowed(meaning), name


def test_the_folder_is_what_the_command_writes() -> None:
    assert {path.stem for path in CLIPS.glob("*.mp4")} == set(meanings())
    assert sum(path.stat().st_size for path in CLIPS.iterdir()) <= 4_000_000
    rows = json.loads((CLIPS / "queries.json").read_text())
    assert [row["query"] for row in rows] == [question.query for question in questions()]
    assert len(rows) == 6


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.file)
def test_the_answer_lies_within_its_file(question) -> None:  # type: ignore[no-untyped-def]  # a Question
    with open_reader(CLIPS / question.file, FrameSpec(64)) as reader:
        assert 0 <= question.start_s < question.end_s <= reader.facts.duration_s + 1e-6
        assert reader.facts.codec == "h264"
