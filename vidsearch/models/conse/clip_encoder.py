"""Clips → vectors with ConSE's classifier, batch norms folded, in channels_last."""

from __future__ import annotations

import torch
from torch import Tensor

from vidsearch.models.conse.load import load_network
from vidsearch.models.folder import ModelFolder
from vidsearch.models.pixels import normalise_pixels

_BATCH_CLIPS_GPU = 8
_BATCH_CLIPS_CPU = 1  # eight frames are work enough, and fit the caches


class ConseEncoder:
    """A `ClipEncoder` over a model folder; the sentence encoder is not loaded."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        network = load_network(folder, device=device, dtype=dtype)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its annotations
        self.batch_clips = _BATCH_CLIPS_CPU if device.type == "cpu" else _BATCH_CLIPS_GPU

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 → (B, E) float32, rows of unit length."""
        preprocessing = self._network.config.preprocessing
        return self._network.encode_clips(normalise_pixels(pixels, preprocessing.mean, preprocessing.std))
