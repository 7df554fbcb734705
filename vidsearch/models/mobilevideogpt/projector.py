"""ET-Proj: from the tokens of an encoder to fewer tokens of the language model's width.

Source: Mobile-VideoGPT section 3.3 (efficient token projection): MLP, adaptive pooling, positional module.

Axes: N pictures or chunks, 196 tokens read row-major as a 14×14 grid, d the language model's width.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

VIDEO_WIDTH = 576  # the published rule: tokens of this width are the video encoder's
VIDEO_SIDE = 7
IMAGE_SIDE = 12


class TokenProjector(nn.Module):
    """Tokens → side² tokens. Without `side` the published rule: 7×7 for the video encoder's width, 12×12 for others."""

    def __init__(self, in_dim: int, out_dim: int, side: int | None = None) -> None:
        super().__init__()
        self.side = side or (VIDEO_SIDE if in_dim == VIDEO_WIDTH else IMAGE_SIDE)
        self.mlp = _Mlp(in_dim, out_dim)
        self.peg = _PositionalModule(out_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, 196, in_dim) → (N, side², out_dim): 144 or 49 tokens.

        The tokens of a video chunk are four 7×7 frames one after the other, and still they are read as one square grid:
        the published projector was trained so. Pooling comes before the second linear layer and not after it: means
        and affine maps commute, and fewer tokens are multiplied.
        """
        first, activation, second = self.mlp.mlp
        hidden = activation(first(tokens))
        side = math.isqrt(hidden.shape[1])
        grid = hidden.unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (N, d, 14, 14), channels last in memory
        pooled = F.adaptive_avg_pool2d(grid, self.side).permute(0, 2, 3, 1)
        placed = self.peg(second(pooled).permute(0, 3, 1, 2))  # (N, d, 12, 12)
        return placed.permute(0, 2, 3, 1).flatten(1, 2)


class _Mlp(nn.Module):
    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(in_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))


class _PositionalModule(nn.Module):
    """x + a depthwise 3×3 convolution of x (PEG, arXiv 2102.10882)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.peg = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width))

    def forward(self, grid: Tensor) -> Tensor:
        return grid + self.peg(grid)
