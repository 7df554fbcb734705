"""Clips of the synthetic world as the network sees them: 16 moments, in the two preprocessings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS, MobileVideoGPTConfig, PixelStatistics
from vidsearch.models.pixels import normalise_pixels
from vidsearch.training.world.augment import augment
from vidsearch.training.world.render import render, to_uint8
from vidsearch.training.world.scene import Array, Scene, SceneAttributes

_EVENLY = 0.4  # the share of clips of which evenly spread frames are learned from


class RenderedClip:
    """One clip of a meaning, and the moments at which its frames are taken.

    The image tower sees the middle square of each frame, the video encoder the whole frame squashed, as at answering.
    """

    def __init__(self, meaning: SceneAttributes, rng: np.random.Generator, config: MobileVideoGPTConfig) -> None:
        self.rng = rng
        self.config = config
        self.scene = Scene(meaning, rng, aspect=float(rng.uniform(1.0, 1.4)))
        # Whole steps from the first frame on, as `sample_frames` takes them: the last frame lies before the end.
        moments = (np.arange(config.frames, dtype=np.float32) + np.float32(rng.uniform(0, 0.6))) / config.frames
        self.moments: Array = moments * np.float32(rng.uniform(0.94, 1.0))

    def image_frames(self, chosen: Sequence[int]) -> NDArray[np.uint8]:
        """(N, S, S, 3): the middle squares of the frames `chosen`."""
        side = self.config.image_tower.image_size
        width = round(side * self.scene.aspect)
        wide = render(self.scene, self.moments[list(chosen)], width, side)
        left = (width - side) // 2
        return to_uint8(augment(wide[:, :, left : left + side], self.rng))

    def video_frames(self, chosen: Sequence[int]) -> NDArray[np.uint8]:
        """(N, S, S, 3): the frames `chosen`, whole and squashed to a square."""
        side = self.config.video_encoder.img_size
        return to_uint8(augment(render(self.scene, self.moments[list(chosen)], side, side), self.rng))


def image_pixels(frames: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Clips of (N, S, S, 3) uint8 → (B, N, 3, S, S) float32 for the image tower."""
    return _normalised(np.stack(frames), CLIP_PIXELS)


def video_pixels(frames: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Clips of (N, S, S, 3) uint8 → (B, N, 3, S, S) float32 for the video encoder."""
    return _normalised(np.stack(frames), IMAGENET_PIXELS)


def even_frames(config: MobileVideoGPTConfig) -> list[int]:
    """Numbers of `keep` frames of each chunk, evenly spread over it."""
    spread = np.linspace(0, config.chunk - 1, config.keep).round().astype(int)
    return [int(first + f) for first in range(0, config.frames, config.chunk) for f in spread]


def learning_frames(rng: np.random.Generator, config: MobileVideoGPTConfig) -> list[int]:
    """Numbers of `keep` frames of each chunk, ascending: any, or evenly spread ones, in which motion is seen sooner."""
    if rng.random() < _EVENLY:
        return even_frames(config)
    chunks = range(0, config.frames, config.chunk)
    return [int(first + f) for first in chunks for f in np.sort(rng.permutation(config.chunk)[: config.keep])]


def _normalised(clips: NDArray[np.uint8], statistics: PixelStatistics) -> Tensor:
    return normalise_pixels(torch.from_numpy(clips), statistics.mean, statistics.std).contiguous()
