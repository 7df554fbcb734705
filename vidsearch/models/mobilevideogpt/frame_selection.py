"""Which frames of a chunk the video encoder sees, and how its tokens go back to the chunks.

Source: Mobile-VideoGPT section 3.2 (attention-based frame scoring) and its figure 2. Nothing here is learned.

Axes: F frames of a chunk, L patch tokens of a frame, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def score_frames(features: Tensor) -> Tensor:
    """(F, L, D) image-tower features → (F,) scores, which sum to F·L.

    With X all tokens of the chunk, A = softmax(X Xᵀ / √D) over its last axis; a score is the sum of a frame's columns.
    Frames that are equal to the bit get equal scores to the bit: one of them is computed, and the softmax counts it as
    often as it is there.
    """
    tokens, width = features.shape[1:]
    copies = first_copies(features)
    distinct = sorted(set(copies))
    count = torch.tensor([copies.count(f) for f in distinct], dtype=features.dtype, device=features.device)
    seen = features[distinct].flatten(0, 1)  # (F'·L, D)
    times = count.repeat_interleave(tokens)  # how many frames each row stands for
    attention = torch.softmax(seen @ seen.T * width**-0.5 + times.log(), dim=-1)  # (F'·L, F'·L)
    received = times @ attention / times  # one copy's share of each column
    scores = received.view(-1, tokens).sum(dim=1)
    return scores[[distinct.index(f) for f in copies]]


def select_frames(features: Tensor, keep: int = 4, largest: bool = True) -> Tensor:
    """(F, L, D) → (keep,) int64: the frames with the largest (or smallest) scores, in time order.

    Among equal scores the earlier frame is taken.
    """
    order = torch.sort(score_frames(features), stable=True, descending=largest).indices
    return order[:keep].sort().values


def first_copies(frames: Tensor) -> list[int]:
    """(F, …) → of each frame the number of the first frame equal to it, to the bit; padding and still clips repeat."""
    firsts: list[int] = []
    for number, frame in enumerate(frames):
        same = (first for first in sorted(set(firsts)) if torch.equal(frames[first], frame))
        firsts.append(next(same, number))
    return firsts


def regroup(tokens: Tensor, keep: int = 4) -> Tensor:
    """(F, 196, D) video tokens of the frames kept → (F / keep, keep·49, D): 2×2 means, then each chunk's frames."""
    side = math.isqrt(tokens.shape[1])
    grid = tokens.reshape(-1, side, side, tokens.shape[2]).permute(0, 3, 1, 2)  # (F, D, 14, 14)
    pooled = F.adaptive_avg_pool2d(grid, side // 2).flatten(2).transpose(1, 2)  # (F, 49, D)
    return pooled.reshape(len(tokens) // keep, -1, tokens.shape[2])
