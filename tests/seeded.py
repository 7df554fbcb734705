"""Small networks whose weights follow from one number: every branch, norm and temporal part does something."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from vidsearch.models.mobileviclip.config import (
    CONFIGS,
    ImageConfig,
    MobileCLIPConfig,
    TextConfig,
)
from vidsearch.models.mobileviclip.load import Network, build_from

SIDE_PX = 64
IMAGE = ImageConfig(widths=(8, 16, 32, 64), depths=(1, 2, 1, 1))
TEXT = TextConfig(width=32, heads=2, ffn_width=64, layers=1)
TEXT_MCT = replace(TEXT, conv_blocks=1)
TEXT_PRUNED = replace(TEXT, vocabulary_rows=64, context=16)


def small_config(name: str, text: TextConfig = TEXT) -> MobileCLIPConfig:
    """A config of that published model's kind and name, about a thousandth of its size."""
    published = CONFIGS[name]
    preprocessing = replace(published.preprocessing, side_px=SIDE_PX)
    return replace(published, image=IMAGE, text=text, preprocessing=preprocessing, embed_dim=48)


def seeded(config: MobileCLIPConfig, seed: int = 0) -> Network:
    """The network of a config, training form, eval mode, with weights drawn from `seed`."""
    network = build_from(config)
    generator = torch.Generator().manual_seed(seed)
    for key, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim:
            tensor.copy_(_drawn(key, tensor.shape, generator))
    if config.text.pruned:
        rows = network.text_encoder.embedding_row
        rows.copy_(torch.randint(1, config.text.vocabulary_rows, rows.shape, generator=generator))
    return network


def _drawn(key: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    x = torch.randn(shape, generator=generator)
    if key.endswith("running_var"):
        return 1 + 0.1 * x.abs()
    if "layer_scale" in key:
        return 0.2 + 0.05 * x
    if len(shape) == 1:
        return 1 + 0.1 * x if key.endswith("weight") else 0.1 * x
    if "embedding_layer" in key or "temporal_embedding" in key:
        return x
    return x / prod(shape[1:]) ** 0.5
