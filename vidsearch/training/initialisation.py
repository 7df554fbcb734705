"""First weights of a small MobileViCLIP that is trained from scratch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vidsearch.models.mobileviclip.model import MobileViCLIP


@torch.no_grad()
def init_from_scratch(network: MobileViCLIP, seed: int) -> None:
    """Give the parts that the published networks start near zero values to start from, in place.

    Those start from a picture model: their temporal parts are zero and their linear layers small. A small network that
    is trained from scratch learns sooner when frames, and words, are told apart from the first step.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if ".temporal.conv.weight" in name or name.endswith("temporal_embedding"):
            nn.init.normal_(parameter, std=0.3, generator=generator)
        if name.endswith("pos_embed.pos_embed"):
            parameter.copy_(0.5 * _sinusoids(*parameter.shape[2:]))
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
    nn.init.normal_(network.text_encoder.embedding_layer.weight, std=0.5, generator=generator)


def _sinusoids(positions: int, width: int) -> Tensor:
    """Sines and cosines of the position, 3 to 80 tokens long, (positions, width): "earlier" is there to be read."""
    lengths = torch.exp(torch.linspace(math.log(3.0), math.log(80.0), width // 2))
    turns = 2 * math.pi * torch.arange(positions)[:, None] / lengths
    return torch.cat([turns.sin(), turns.cos()], 1)
