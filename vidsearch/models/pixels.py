"""Pixel values → what a network takes; the one place where mean and standard deviation are applied."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_WHITE = 255  # the largest value of a uint8 channel


def normalise_pixels(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(…, H, W, 3) uint8 RGB → (…, 3, H, W) float32, (p / 255 − mean) / std; the memory stays channels last.

    `mean` and `std` are those of values in 0…1, one for each channel. Computed on the pixels' device as
    (p − 255·mean) · 1/(255·std), which is within 3e-7 of the exact value for the published statistics.
    """
    centre = torch.tensor([_WHITE * value for value in mean], dtype=torch.float32, device=pixels.device)
    scale = torch.tensor([1 / (_WHITE * value) for value in std], dtype=torch.float32, device=pixels.device)
    return ((pixels.float() - centre) * scale).movedim(-1, -3)
