"""How well a model understands the world: retrieval, motion alone, pairs; from pictures or through real H.264 files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.evaluation.retrieval import dual_softmax, ranks, recall
from vidsearch.records import FrameSpec, WindowSpec
from vidsearch.training.world.eval_sets import (
    EvalSet,
    first_then_sets,
    left_right_sets,
    motion_sets,
    overtaking_sets,
    retrieval_set,
)
from vidsearch.training.world.samples import plain_clip
from vidsearch.training.world.scene import WHOLE, Extent, Scene, SceneAttributes

Vectors = NDArray[np.float32]
ClipMaker = Callable[[SceneAttributes, np.random.Generator], NDArray[np.uint8]]
_CHUNK = 32

# Share of wrong sentences whose cosine with a clip passes a level.
LEVELS = {"high": 0.001, "medium": 0.01, "low": 0.05}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked; the full size is what the model card reports."""

    clips: int = 1000
    groups: int = 100
    pairs: int = 100


FULL = Size()


class Evaluator:
    """Runs a model on evaluation sets; `make_clip` says how a meaning becomes frames (T, H, W, 3) uint8."""

    def __init__(self, clips: ClipEmbedder, texts: TextEmbedder, make_clip: ClipMaker, seed: int) -> None:
        self._clips, self._texts = clips, texts
        self.make_clip = make_clip
        self.seed = seed

    def videos(self, meanings: Sequence[SceneAttributes]) -> Vectors:
        """One clip of each meaning → unit vectors (N, E)."""
        vectors = []
        for first in range(0, len(meanings), _CHUNK):
            numbers = range(first, min(first + _CHUNK, len(meanings)))
            clips = [self.make_clip(meanings[i], np.random.default_rng((self.seed, 9, i))) for i in numbers]
            vectors.append(self._clips.embed(np.stack(clips)))
        return np.concatenate(vectors)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Sentences → unit vectors (N, E)."""
        return self._texts.embed(texts)

    def cosines(self, eval_set: EvalSet) -> Vectors:
        """Sentences down, clips across; the right answers are on the diagonal. (N, N)"""
        return self.texts(eval_set.texts) @ self.videos(eval_set.meanings).T

    def top1_accuracy(self, eval_sets: Iterable[EvalSet]) -> float:
        """Share of the sentences of all sets that score their own clip highest."""
        eval_sets = list(eval_sets)
        texts = self.texts([text for eval_set in eval_sets for text in eval_set.texts])
        videos = self.videos([meaning for eval_set in eval_sets for meaning in eval_set.meanings])
        right: list[NDArray[np.bool_]] = []
        first = 0
        for eval_set in eval_sets:
            rows = slice(first, first + len(eval_set.texts))
            right.append(ranks(texts[rows] @ videos[rows].T) == 0)
            first = rows.stop
        return float(np.concatenate(right).mean())


def measure(evaluator: Evaluator, size: Size, seed: int = 2026, extent: Extent = WHOLE) -> dict[str, float]:
    """Everything as shares in [0, 1], by name; the levels as cosines (`level_high` …)."""
    cosines = evaluator.cosines(retrieval_set(seed, size.clips, extent))
    places, back = ranks(cosines), ranks(cosines.T)
    figures = {
        "t2v_R@1": recall(places)["R@1"] / 100,
        "t2v_R@5": recall(places)["R@5"] / 100,
        "v2t_R@1": recall(back)["R@1"] / 100,
        "t2v_R@1_dual_softmax": recall(ranks(dual_softmax(cosines)))["R@1"] / 100,
        "motion_alone": evaluator.top1_accuracy(motion_sets(seed, size.groups, extent)),
        "left_right": evaluator.top1_accuracy(left_right_sets(seed, size.pairs, extent)),
        "first_then": evaluator.top1_accuracy(first_then_sets(seed, size.pairs, extent)),
        "overtaking": evaluator.top1_accuracy(overtaking_sets(seed, size.pairs)),
    }
    return figures | {f"level_{name}": value for name, value in score_levels(cosines).items()}


def score_levels(cosines: Vectors) -> dict[str, float]:
    """Cosines from which a hit is high, medium or low: few wrong sentences pass (`LEVELS`). cosines (N, N) of pairs."""
    wrong = cosines[~np.eye(len(cosines), dtype=bool)]
    return {name: round(float(np.quantile(wrong, 1 - share)), 4) for name, share in LEVELS.items()}


def from_pictures(side_px: int) -> ClipMaker:
    """Clips straight from the renderer."""
    return lambda meaning, rng: plain_clip(meaning, rng, side_px)


def through_h264(spec: FrameSpec, seconds: tuple[float, float] = (3, 6)) -> ClipMaker:
    """Clips written as H.264 files in the demo's formats, `seconds` long, and read back as the index reads them."""
    from vidsearch.training.world.files import DEMO_FORMATS, write_video  # late: needs PyAV, training does not
    from vidsearch.video.reader import open_reader, read_windows

    def make(meaning: SceneAttributes, rng: np.random.Generator) -> NDArray[np.uint8]:
        form = DEMO_FORMATS[int(rng.integers(len(DEMO_FORMATS)))]
        scene = Scene(meaning, rng, aspect=form.aspect)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            write_video(path, [(scene, float(rng.uniform(*seconds)))], form)
            with open_reader(path, spec) as reader:
                return next(read_windows(reader, WindowSpec())).frames

    return make


def table(figures: dict[str, float]) -> str:
    """The figures as lines of text."""
    return "\n".join(f"{name:<22}{value:8.3f}" for name, value in figures.items())
