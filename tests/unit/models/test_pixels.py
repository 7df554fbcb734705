"""Normalising pixels: near the exact value for every level, in the layout that networks take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS, PixelStatistics
from vidsearch.models.pixels import normalise_pixels


@pytest.mark.parametrize("statistics", [CLIP_PIXELS, IMAGENET_PIXELS])
def test_every_level_of_every_channel_is_near_the_exact_value(statistics: PixelStatistics) -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)  # (1, 256, 3): one row of pixels
    exact = (levels / 255 - np.array(statistics.mean)) / np.array(statistics.std)
    made = normalise_pixels(torch.from_numpy(levels), statistics.mean, statistics.std)
    assert (made.dtype, made.shape) == (torch.float32, (3, 1, 256))
    np.testing.assert_allclose(made.double().numpy(), exact.transpose(2, 0, 1), rtol=0, atol=3e-7)


def test_leading_axes_stay_and_the_memory_is_channels_last() -> None:
    clips = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    made = normalise_pixels(clips, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert made.shape == (2, 3, 3, 4, 5)
    assert made.movedim(2, -1).is_contiguous()
    assert made[1, 2, 0, 3, 4] == clips[1, 2, 3, 4, 0].float() * torch.tensor(1 / 255)
