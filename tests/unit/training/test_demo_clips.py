"""The clips and questions of examples/clips: as the command writes them, held out, and with one right answer each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.records import FrameSpec
from vidsearch.training.world.clips import DemoQuery, meanings, queries
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
    assert [row["query"] for row in rows] == [row.query for row in queries()]
    assert len(rows) == 6


@pytest.mark.parametrize("demo", queries(), ids=lambda demo: demo.file)
def test_the_answer_lies_within_its_file(demo: DemoQuery) -> None:
    with open_reader(CLIPS / demo.file, FrameSpec(64)) as reader:
        assert 0 <= demo.start_s < demo.end_s <= reader.facts.duration_s + 1e-6
        assert reader.facts.codec == "h264"
