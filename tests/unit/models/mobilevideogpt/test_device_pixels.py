"""Pixels made with torch on a device against those made with numpy; the device here is the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS
from vidsearch.models.mobilevideogpt.device_pixels import preprocess_on
from vidsearch.models.mobilevideogpt.pixels import preprocess_image, preprocess_video

CPU = torch.device("cpu")
CASES = json.loads(Path(__file__).with_name("videogpt_pixels.json").read_text(encoding="utf-8"))["cases"]
SIZES = [(case["height"], case["width"]) for case in CASES]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(height).randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_in_float64_they_are_equal_to_the_bit(size: tuple[int, int]) -> None:
    frame = picture(*size)
    image, video = preprocess_on(CPU, [frame], 224, 224)
    assert torch.equal(image, preprocess_image([frame]))
    assert torch.equal(video, preprocess_video([frame]))


@pytest.mark.parametrize("size", [(360, 640), (481, 240), (150, 200), (1080, 1920)], ids=str)
def test_in_float32_they_are_at_most_a_level_of_255_away(size: tuple[int, int]) -> None:
    frame = picture(*size)
    image, video = preprocess_on(CPU, [frame], 224, 224, torch.float32)
    std = torch.tensor(CLIP_PIXELS.std)[:, None, None]
    levels = (image[0] - preprocess_image([frame])[0]).abs() * std * 255
    assert float(levels.max()) < 1.001
    assert float((levels > 0.5).float().mean()) < 1e-3  # and hardly ever
    assert torch.equal(video, preprocess_video([frame]))  # whole numbers


def test_frames_of_different_sizes_are_stacked_in_order_and_small_networks_get_small_squares() -> None:
    frames = [picture(90, 160), picture(64, 64), picture(70, 40)]
    image, video = preprocess_on(CPU, frames, 64, 32)
    assert (image.shape, video.shape) == ((3, 3, 64, 64), (3, 3, 32, 32))
    assert torch.equal(image, preprocess_image(frames, 64))
    assert torch.equal(video, preprocess_video(frames, 32))


def test_what_is_not_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        preprocess_on(CPU, [np.zeros((4, 4, 4), np.uint8)], 224, 224)


def test_the_statistics_are_those_of_each_encoder() -> None:
    frame = np.full((8, 8, 3), 255, np.uint8)
    image, video = preprocess_on(CPU, [frame], 8, 8)
    for pixels, statistics in ((image, CLIP_PIXELS), (video, IMAGENET_PIXELS)):
        white = (1 - torch.tensor(statistics.mean)) / torch.tensor(statistics.std)
        torch.testing.assert_close(pixels[0, :, 3, 3], white)
