"""A folder of clips with captions (`evaluation/captions.py`) as a source of batches."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.captions import CaptionedClip
from vidsearch.models.preprocessing import Preprocessing
from vidsearch.records import FrameSpec
from vidsearch.training.data import Batch, pixels, token_rows
from vidsearch.training.loss import equal_ids
from vidsearch.training.settings import TrainSettings

log = logging.getLogger(__name__)


class FolderSource:
    """Batches of a folder: each epoch in an order of its own, a random frame of each interval, a random crop."""

    def __init__(self, rows: list[CaptionedClip], preprocessing: Preprocessing, settings: TrainSettings) -> None:
        if len(rows) < settings.batch:
            raise VidsearchError(
                f"A batch of {settings.batch} needs as many captions, and there are {len(rows)}; lower --batch."
            )
        self.rows, self.preprocessing, self.settings = rows, preprocessing, settings
        self.steps_per_epoch = len(rows) // settings.batch

    def batch(self, step: int) -> Batch:
        """The batch of a step; a clip that cannot be decoded is reported and its place taken by another."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((self.settings.seed, epoch)).permutation(len(self.rows))
        rng = np.random.default_rng((self.settings.seed, 1, step))
        size = self.settings.batch
        chosen = [self._readable(order, place * size + i, rng) for i in range(size)]
        clips = torch.stack([clip for _, clip in chosen])
        ids = torch.tensor([row.number for row, _ in chosen])
        return Batch(clips, token_rows([row.caption for row, _ in chosen]), equal_ids(ids))

    def _readable(self, order: NDArray[np.int64], place: int, rng: np.random.Generator) -> tuple[CaptionedClip, Tensor]:
        for attempt in range(len(order)):
            row = self.rows[order[(place + attempt) % len(order)]]
            try:
                return row, self._clip(row.path, rng)
            except VideoError as error:
                log.warning("%s", error)
        raise VidsearchError("None of the clips can be decoded; look at the warnings above.")

    def _clip(self, path: Path, rng: np.random.Generator) -> Tensor:
        """One clip, normalised, (T, 3, H, W)."""
        from vidsearch.video.reader import open_reader  # late: the synthetic world needs no decoder

        spec, frames = self.preprocessing, self.preprocessing.frames
        side = round(1.4 * spec.side_px)  # room for the crop
        with open_reader(path, FrameSpec(side)) as reader:
            facts = reader.facts
            parts = (np.arange(frames) + rng.uniform(0, 1, frames)) / frames
            times = [float(facts.start_s + facts.picture_s * part) for part in parts]
            pictures = np.stack(list(reader.frames_at(times)))
        clip = pixels(pictures[None], spec)[0]
        clip = self._crop(clip, rng)
        return clip.flip(-1) if self.settings.flip and rng.random() < 0.5 else clip

    def _crop(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """Random resized crop, bicubic: area by `crop_part`, aspect 3:4 to 4:3. (T, 3, S, S) → (T, 3, H, W)"""
        side, target = clip.shape[-1], self.preprocessing.side_px
        area, aspect = rng.uniform(*self.settings.crop_part), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        height = min(side, round(side * (area / aspect) ** 0.5))
        width = min(side, round(side * (area * aspect) ** 0.5))
        top, left = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
        part = clip[..., top : top + height, left : left + width]
        return F.interpolate(part, (target, target), mode="bicubic", antialias=True)
