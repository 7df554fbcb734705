"""Weights and inputs that anybody can rebuild: drawn from a seed and the name of each key (docs/networks.md).

A tensor is drawn from its key, its shape and one integer; nothing is stored. Keys are Apple's full keys, a video key
`vision_encoder.X` being spelt `image_encoder.model.X`.
"""

from __future__ import annotations

import json
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

REPOSITORY = Path(__file__).parents[2]
SHARED = REPOSITORY / "../shared"
KEPT = {"logit_scale", "temp"}  # keep the module's own initial value, as integer tensors do


def shared(path: str) -> Path:
    """A file of the shared test material; skips the test where a plain clone does not have it."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"shared test material is absent: {path}")
    return found


def shared_json(path: str) -> Any:
    return json.loads(shared(path).read_text(encoding="utf-8"))


def shared_arrays(path: str) -> dict[str, NDArray[Any]]:
    with np.load(shared(path)) as arrays:
        return dict(arrays)


def draw(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """The float tensor of one key, by the recipe's general rules and its additions for the MobileCLIP family."""
    rng = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0x7FFFFFFF)
    return np.asarray(_scaled(key, shape, np.asarray(rng.standard_normal(shape))), np.float32)


def _scaled(key: str, shape: tuple[int, ...], x: NDArray[np.float64]) -> NDArray[np.float64]:
    fan = np.sqrt(prod(shape[1:]))
    if key.endswith("running_var"):
        return 1 + 0.1 * np.abs(x)
    if key.endswith("running_mean"):
        return 0.1 * x
    if "layer_scale" in key:
        return 0.2 + 0.05 * x
    if len(shape) == 1:
        return 1 + 0.1 * x if key.endswith("weight") else 0.1 * x
    factors = {
        "text_encoder.embedding_layer.weight": 1.0,
        "pos_embed.pos_embed": 0.5,
        "token_mixer.qkv.weight": 2 / fan,
        "temporal.conv.weight": 0.1 / fan,
        "temporal_embedding": 0.2,
    }
    return x * next((factor for ending, factor in factors.items() if key.endswith(ending)), 1 / fan)


def recipe_key(key: str) -> str:
    return key.replace("vision_encoder.", "image_encoder.model.", 1) if key.startswith("vision_encoder.") else key


def fill(network: nn.Module, seed: int, only: str = "") -> None:
    """Give the network, in its training form, the recipe's weights; `only` restricts it to keys that start so."""
    for key, tensor in network.state_dict().items():
        if key.startswith(only) and tensor.is_floating_point() and key not in KEPT:
            tensor.copy_(torch.from_numpy(draw(recipe_key(key), tuple(tensor.shape), seed)))


def noise(seed: int) -> Tensor:
    """(2, 3, 256, 256), uniform in [0, 1)."""
    return torch.from_numpy(np.random.RandomState(seed).random_sample((2, 3, 256, 256)).astype(np.float32))


def waves(seed: int, batch: int, frames: int) -> Tensor:
    """(batch, frames, 3, 256, 256): sums of four moving plane waves, squashed into (0, 1)."""
    rng = np.random.RandomState(seed)
    rows, columns = np.meshgrid(np.arange(256) / 256, np.arange(256) / 256, indexing="ij")
    times = np.arange(frames)[:, None, None] / 8
    clips = np.empty((batch, frames, 3, 256, 256))
    for clip in clips:
        for channel in range(3):
            total = np.zeros((frames, 256, 256))
            for _ in range(4):
                fx, fy, ft, phase, height = (rng.uniform(*limits) for limits in _WAVE_LIMITS)
                total += height * np.sin(2 * np.pi * (fx * rows + fy * columns + ft * times) + phase)
            clip[:, channel] = 1 / (1 + np.exp(-total))
    return torch.from_numpy(clips.astype(np.float32))


_WAVE_LIMITS = ((-6, 6), (-6, 6), (-1, 1), (0, 2 * np.pi), (0.3, 1.0))
