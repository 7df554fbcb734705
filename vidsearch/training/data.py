"""Where batches come from: the synthetic world. A source gives the batch of any step, so that a run can resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vidsearch.models.mobileviclip.tokenizer import pre_text, tokenize
from vidsearch.models.pixels import normalise_pixels
from vidsearch.models.preprocessing import Preprocessing
from vidsearch.training.world.samples import training_batch
from vidsearch.training.world.scene import WHOLE, Extent


@dataclass(frozen=True, slots=True)
class Batch:
    """clips (B, T, 3, H, W) normalised float32; ids (B, 77) int64; positives (B, B) bool: text j is true of video i.

    Of the world also: attribute_labels (B, 9) int64 (`world.scene.attribute_labels`), and which of them the captions
    mention, mentioned (B, 9) bool.
    """

    clips: Tensor
    ids: Tensor
    positives: Tensor
    attribute_labels: Tensor | None = None
    mentioned: Tensor | None = None


class BatchSource(Protocol):
    """Batches by step number: the same number gives the same batch."""

    def batch(self, step: int) -> Batch: ...


def pixels(clips: np.ndarray, preprocessing: Preprocessing) -> Tensor:
    """(B, T, H, W, 3) uint8 → (B, T, 3, H, W) float32 as the network takes it; the memory stays channels last."""
    return normalise_pixels(torch.from_numpy(clips), preprocessing.mean, preprocessing.std)


def token_rows(texts: list[str]) -> Tensor:
    """Captions → (B, 77) int64, simplified as in training and evaluation (`pre_text`)."""
    return torch.from_numpy(tokenize([pre_text(text) for text in texts]))


class WorldSource:
    """The synthetic world, rendered as it is asked for; `held_out`: the part of it that is kept for evaluation."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        batch_size: int,
        seed: int,
        extent: Extent = WHOLE,
        *,
        held_out: bool = False,
    ) -> None:
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.seed = seed
        self.extent = extent
        self.held_out = held_out

    def batch(self, step: int) -> Batch:
        made = training_batch(
            self.seed,
            step,
            self.batch_size,
            self.preprocessing.side_px,
            self.preprocessing.frames,
            self.extent,
            held_out=self.held_out,
        )
        return Batch(
            pixels(made.clips, self.preprocessing),
            token_rows(made.texts),
            torch.from_numpy(made.positives),
            torch.from_numpy(made.attribute_labels).long(),
            torch.from_numpy(made.mentioned),
        )
