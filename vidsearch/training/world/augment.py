"""What cameras, encoders and resizing do to pictures, cheaply: light, blur, coarse colour, lost resolution, noise."""

from __future__ import annotations

import numpy as np

from vidsearch.training.world.scene import Array


def augment(pictures: Array, rng: np.random.Generator) -> Array:
    """One clip (T, H, W, 3) float32 in [0, 1] → the same shape; each disturbance is drawn for the whole clip."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.96, 1.04, 3)
    pictures = (pictures - 0.5) * gain.astype(np.float32) + np.float32(0.5 + rng.uniform(-0.07, 0.07))
    if rng.random() < 0.4:
        pictures = _soften(pictures, float(rng.uniform(0.2, 1.0)))
    if rng.random() < 0.4:
        pictures = _coarse_colour(pictures)
    if rng.random() < 0.25:
        pictures = _resample(pictures, int(rng.integers(40, 60)))
    if rng.random() < 0.4:
        noise = rng.standard_normal(pictures.shape[:3], dtype=np.float32)[..., None]
        pictures = pictures + noise * np.float32(rng.uniform(0.005, 0.035))
    return np.clip(pictures, 0.0, 1.0)


def _soften(pictures: Array, amount: float) -> Array:
    """(1, 2, 1)/4 along both sides, mixed in by `amount`."""
    soft = pictures.copy()
    soft[:, 1:-1] = 0.5 * pictures[:, 1:-1] + 0.25 * (pictures[:, :-2] + pictures[:, 2:])
    both = soft.copy()
    both[:, :, 1:-1] = 0.5 * soft[:, :, 1:-1] + 0.25 * (soft[:, :, :-2] + soft[:, :, 2:])
    return pictures + np.float32(amount) * (both - pictures)


def _coarse_colour(pictures: Array) -> Array:
    """Brightness stays, colour is that of squares of 2 × 2: what 4:2:0 does to a file of this very size."""
    if pictures.shape[1] % 2 or pictures.shape[2] % 2:
        return pictures
    light = pictures.mean(axis=-1, keepdims=True)
    colour = pictures - light
    blocks = 0.25 * (colour[:, ::2, ::2] + colour[:, 1::2, ::2] + colour[:, ::2, 1::2] + colour[:, 1::2, 1::2])
    return light + blocks.repeat(2, axis=1).repeat(2, axis=2)


def _resample(pictures: Array, side: int) -> Array:
    """Down to `side` and back, by nearest neighbours: uneven pixels."""
    height, width = pictures.shape[1:3]
    rows = (np.arange(height) * side // height) * height // side
    columns = (np.arange(width) * side // width) * width // side
    return pictures[:, rows][:, :, columns]
