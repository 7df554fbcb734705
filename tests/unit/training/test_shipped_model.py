"""What the bundled mobileviclip-nano understands, on a reduced set of held-out meanings in held-out phrasings.

The full figures are in its model card; the floors here are what the issue asks for, on fewer clips.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.records import WindowSpec
from vidsearch.training.evaluate import Evaluator, from_pictures, through_h264
from vidsearch.training.world.eval_sets import (
    first_then_sets,
    left_right_sets,
    motion_sets,
    retrieval_set,
)
from vidsearch.video.reader import open_reader, read_windows

FOLDER = BUNDLED_DIR / "mobileviclip-nano"
CLIPS = Path(__file__).parents[3] / "examples" / "clips"
SEED = 4711  # neither the seed of the model card nor that of the score levels


@pytest.fixture(scope="module")
def clips() -> ClipEmbedder:
    return open_clip_embedder(FOLDER.name, device="cpu", threads=1)


@pytest.fixture(scope="module")
def texts() -> TextEmbedder:
    return open_text_embedder(FOLDER.name, threads=1)


@pytest.fixture(scope="module")
def evaluator(clips: ClipEmbedder, texts: TextEmbedder) -> Evaluator:
    return Evaluator(clips, texts, from_pictures(clips.frame_spec.side_px), SEED)


def test_the_bundled_files_are_small_and_the_levels_ordered() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_DIR.rglob("*") if path.is_file()) <= 12_000_000
    levels = open_folder(FOLDER).score_levels or {}
    assert 1 > levels["high"] > levels["medium"] > levels["low"] > 0
    assert "synthetic" in (FOLDER / "MODEL_CARD.md").read_text()


def test_a_sentence_finds_its_clip_among_two_hundred(evaluator: Evaluator) -> None:
    assert evaluator.top1_accuracy([retrieval_set(SEED, 200)]) >= 0.90


def test_motion_alone_is_understood(evaluator: Evaluator) -> None:
    assert evaluator.top1_accuracy(motion_sets(SEED, 15)) >= 0.90


def test_left_and_right_are_told_apart(evaluator: Evaluator) -> None:
    assert evaluator.top1_accuracy(left_right_sets(SEED, 30)) >= 0.90


def test_first_and_then_are_told_apart(evaluator: Evaluator) -> None:
    assert evaluator.top1_accuracy(first_then_sets(SEED, 30)) >= 0.90


def test_real_files_are_understood_as_well(clips: ClipEmbedder, texts: TextEmbedder) -> None:
    evaluator = Evaluator(clips, texts, through_h264(clips.frame_spec, seconds=(1.0, 1.5)), SEED)
    assert evaluator.top1_accuracy(motion_sets(SEED, 2)) >= 0.85


def test_the_demos_questions_find_their_moments(clips: ClipEmbedder, texts: TextEmbedder) -> None:
    windows, shown = [], []
    for path in sorted(CLIPS.glob("*.mp4")):
        with open_reader(path, clips.frame_spec) as reader:
            for clip in read_windows(reader, WindowSpec()):
                windows.append((path.name, clip.window))
                shown.append(clip.frames)
    rows = json.loads((CLIPS / "queries.json").read_text())
    videos = clips.embed(np.stack(shown))
    best = (texts.embed([row["query"] for row in rows]) @ videos.T).argmax(axis=1)
    right = 0
    for row, place in zip(rows, best, strict=True):
        name, window = windows[int(place)]
        middle = (window.start_s + window.end_s) / 2
        right += name == row["file"] and row["start_s"] <= middle <= row["end_s"]
    assert right >= 5
