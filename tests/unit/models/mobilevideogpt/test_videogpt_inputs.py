"""Frames chosen and pixels made for Mobile-VideoGPT: the published rules, and Pillow and OpenCV to the bit."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from vidsearch.models.mobilevideogpt.config import CLIP_PIXELS, IMAGENET_PIXELS, PixelStatistics
from vidsearch.models.mobilevideogpt.frame_sampling import sample_frames
from vidsearch.models.mobilevideogpt.pixels import pad_frames, preprocess_image, preprocess_video

GOLDENS = json.loads(Path(__file__).with_name("videogpt_pixels.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("n_frames", "fps", "expected"),
    [
        (480, 30.0, list(range(0, 480, 30))),  # exactly 16 seconds
        (510, 30.0, [*range(0, 450, 30), 480]),  # 17 candidates: positions are cut off, not rounded
        (250, 25.0, list(range(0, 241, 16))),  # ten seconds: a whole step, and the tail is left out
        (30, 30.0, list(range(16))),
        (9, 30.0, list(range(9))),
        (1, 30.0, [0]),  # the reference divides by zero
        (40, 2.5, [0, 2, 4, 6, 10, 12, 14, 16, 20, 22, 24, 26, 30, 32, 34, 38]),  # half to even: a step of 2
        (20, 0.2, [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 19]),  # the reference divides by zero
    ],
)
def test_sampled_frames(n_frames: int, fps: float, expected: list[int]) -> None:
    assert sample_frames(n_frames, fps) == expected


@pytest.mark.parametrize(("n_frames", "fps"), [(0, 30.0), (-1, 30.0), (5, 0.0), (5, float("nan")), (5, float("inf"))])
def test_nothing_to_sample_is_refused(n_frames: int, fps: float) -> None:
    with pytest.raises(ValueError, match="frame"):
        sample_frames(n_frames, fps)


def levels(normalised: torch.Tensor, statistics: PixelStatistics) -> torch.Tensor:
    """(3, S, S) normalised → (S, S, 3) uint8: normalising undone."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (statistics.mean, statistics.std))
    exact = (normalised * std + mean) * 255
    assert torch.allclose(exact, exact.round(), atol=1e-3)
    return exact.round().to(torch.uint8).permute(1, 2, 0).contiguous()


@pytest.mark.parametrize("case", GOLDENS["cases"], ids=lambda case: f"{case['height']}x{case['width']}")
def test_pixels_equal_pillows_and_opencvs(case: dict[str, int | str]) -> None:
    seed, height, width = (int(case[name]) for name in ("seed", "height", "width"))
    frame = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    made = {
        "pillow": levels(preprocess_image([frame])[0], CLIP_PIXELS),
        "opencv": levels(preprocess_video([frame])[0], IMAGENET_PIXELS),
    }
    for library, square in made.items():
        assert hashlib.sha256(square.numpy().tobytes()).hexdigest()[:16] == case[library], library


@pytest.mark.parametrize("shape", [(4, 400_000, 3), (400_000, 4, 3), (2, 100_000, 3)])
def test_a_picture_far_from_square_takes_no_more_memory(shape: tuple[int, int, int]) -> None:
    """A file may claim pixels that are 2,000 times as wide as high; only what the squares are made of is widened."""
    frame = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    tracemalloc.start()
    try:
        assert preprocess_image([frame]).shape == preprocess_video([frame]).shape == (1, 3, 224, 224)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20_000_000  # the squares and their sums in float64; it was 1.1 GB


def test_an_even_colour_stays_itself() -> None:
    """Coefficients add up: nothing is brightened, not at the borders either."""
    frame = np.full((300, 900, 3), (3, 128, 255), np.uint8)
    for made, statistics in ((preprocess_image([frame]), CLIP_PIXELS), (preprocess_video([frame]), IMAGENET_PIXELS)):
        assert levels(made[0], statistics).unique(dim=0).unique(dim=1).tolist() == [[[3, 128, 255]]]


def test_frames_are_stacked_in_order_as_float32() -> None:
    frames = [np.full((40, 60, 3), value, np.uint8) for value in (0, 255, 7)]
    for preprocess in (preprocess_image, preprocess_video):
        made = preprocess(frames)
        assert made.dtype == torch.float32
        assert made.shape == (3, 3, 224, 224)
        for frame, alone in zip(frames, made, strict=True):
            assert torch.equal(preprocess([frame])[0], alone)
        assert preprocess([]).shape == (0, 3, 224, 224)


def test_a_smaller_network_gets_smaller_pictures() -> None:
    frame = np.random.RandomState(0).randint(0, 256, (90, 160, 3)).astype(np.uint8)
    assert preprocess_image([frame], side_px=64).shape == (1, 3, 64, 64)
    assert preprocess_video([frame], side_px=64).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_what_is_no_frame_is_refused(frame: np.ndarray) -> None:
    for preprocess in (preprocess_image, preprocess_video):
        with pytest.raises(ValueError, match="uint8"):
            preprocess([frame])


def test_padding_is_the_mean_colour_after_the_last_frame() -> None:
    real = torch.randn(3, 3, 8, 8)
    padded = pad_frames(real, 5)
    assert torch.equal(padded[:3], real)
    assert not padded[3:].any()
    assert pad_frames(real, 3) is real
