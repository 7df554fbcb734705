"""Batches of the synthetic world: the batch of a step depends on the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidsearch.training.world.augment import augment
from vidsearch.training.world.captions import CaptionWriter
from vidsearch.training.world.render import render, to_uint8
from vidsearch.training.world.scene import (
    WHOLE,
    Array,
    Extent,
    Scene,
    SceneAttributes,
    attribute_labels,
    describes,
    similar_meanings,
)

_GROUP = 4  # meanings of a batch that differ in one respect


@dataclass(frozen=True, slots=True)
class WorldBatch:
    """Clips (B, T, H, W, 3) uint8, their B captions, and what they mean.

    positives (B, B): caption j is true of clip i; attribute_labels (B, 9): what the clips show; mentioned (B, 9): which
    of these attributes the captions mention.
    """

    clips: NDArray[np.uint8]
    texts: list[str]
    positives: NDArray[np.bool_]
    attribute_labels: NDArray[np.int16]
    mentioned: NDArray[np.bool_]


def training_batch(
    seed: int, step: int, size: int, side_px: int, frames: int = 8, extent: Extent = WHOLE, *, held_out: bool = False
) -> WorldBatch:
    """The batch of one step, from the training part of the world or the held-out one, augmented as real files are."""
    rng = np.random.default_rng((seed, step))
    meanings: list[SceneAttributes] = []
    while len(meanings) < size:
        meanings += similar_meanings(rng, min(_GROUP, size - len(meanings)), held_out=held_out, extent=extent)
    writer = CaptionWriter(rng, held_out=held_out)
    captions = [writer.sometimes_partial(meaning) for meaning in meanings]
    clips = np.stack([training_clip(meaning, rng, side_px, frames) for meaning in meanings])
    facts = np.stack([attribute_labels(meaning) for meaning in meanings])
    mentioned = np.stack([caption.mentioned for caption in captions])
    texts = [caption.text for caption in captions]
    return WorldBatch(clips, texts, describes(facts, mentioned, facts), facts, mentioned)


def caption_batch(
    seed: int, step: int, size: int, extent: Extent
) -> tuple[list[str], NDArray[np.int16], NDArray[np.bool_]]:
    """Captions alone: texts, the labels (B, 9) of what they were written for, and which they mention (B, 9)."""
    rng = np.random.default_rng((seed, 1, step))
    writer = CaptionWriter(rng, held_out=False)
    meanings: list[SceneAttributes] = []
    while len(meanings) < size:
        meanings += similar_meanings(rng, min(_GROUP, size - len(meanings)), held_out=False, extent=extent)
    captions = [writer.sometimes_partial(meaning) for meaning in meanings]
    facts = np.stack([attribute_labels(meaning) for meaning in meanings])
    return [caption.text for caption in captions], facts, np.stack([caption.mentioned for caption in captions])


def training_clip(
    meaning: SceneAttributes, rng: np.random.Generator, side_px: int, frames: int = 8
) -> NDArray[np.uint8]:
    """One clip as training sees it: a random moment of each interval, a random crop, disturbances; (T, H, W, 3)."""
    scene = Scene(meaning, rng, aspect=float(rng.uniform(1.0, 1.5)))
    moments = (np.arange(frames, dtype=np.float32) + jitter(rng, frames)) / frames
    part = float(rng.uniform(0.86, 1.0))
    left, top = rng.uniform(0, 1 - part, 2)
    return to_uint8(augment(render(scene, moments, side_px, side_px, (float(left), float(top), part)), rng))


def jitter(rng: np.random.Generator, frames: int) -> Array:
    """Where in its interval each frame is taken: half of the time the middle, as when searching, else anywhere."""
    if rng.random() < 0.5:
        return np.full(frames, 0.5 + rng.uniform(-0.08, 0.08), dtype=np.float32)
    return rng.uniform(0.1, 0.9, frames).astype(np.float32)


def plain_clip(meaning: SceneAttributes, rng: np.random.Generator, side_px: int, frames: int = 8) -> NDArray[np.uint8]:
    """One clip as a search sees it: the middle of each interval, the whole picture, nothing disturbed; (T, H, W, 3)."""
    scene = Scene(meaning, rng)
    moments = (np.arange(frames, dtype=np.float32) + 0.5) / frames
    return to_uint8(render(scene, moments, side_px, side_px))
