"""What a decode step is made of, in torch's operations: the form that runs everywhere, and what kernels are held to.

Axes: K positions that the cache has memory for, h head width, D width, N outputs; one sequence, one position.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.decoder import rotary_embedding


class StepOperations(Protocol):
    """The operations on one position; all of them can be captured in a CUDA graph."""

    def linear(self, x: Tensor, weight: Tensor, *, bias: Tensor | None = None, norm: Tensor | None = None) -> Tensor:
        """(1, D), first through an RMS norm of weight `norm` (D,), weight (N, D) → (1, N)."""
        ...

    def add_linear(self, x: Tensor, weight: Tensor, onto: Tensor) -> Tensor:
        """(1, D), weight (N, D), onto (1, N) → onto with the product added, perhaps in the same memory."""
        ...

    def gated(self, x: Tensor, gate_up: Tensor, norm: Tensor) -> Tensor:
        """(1, D) → (1, I): silu(gate) · up of the normed x, the rows of `gate_up` (2·I, D) being gates, then ups."""
        ...

    def attend(self, states: Tensor, memory: Tensor, position: Tensor) -> Tensor:
        """Queries, keys and values (1, (heads + 2·shared)·h) of the position (1,) → (1, heads·h).

        They are turned by the rotary embedding; keys and values go to their place in `memory` (2, 1, shared, K, h).
        """
        ...


class TorchOperations:
    """`StepOperations` for any device."""

    def __init__(self, config: LanguageModelConfig, capacity: int, like: Tensor) -> None:
        """For a memory of `capacity` positions; `like` gives the device and the precision."""
        self._heads, self._shared, self._eps = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.rms_norm_eps,
        )
        self._scale = config.head_dim**-0.5
        cos, sin = rotary_embedding(config, 0, capacity, like)  # (K, h) each
        below, above = sin.chunk(2, dim=-1)
        self._cos, self._sin = cos, torch.cat((-below, above), dim=-1)  # the sign that the other half of a head gets
        self._places = torch.arange(capacity, device=like.device)
        self._seen = torch.zeros(1, capacity, dtype=like.dtype, device=like.device)

    def linear(self, x: Tensor, weight: Tensor, *, bias: Tensor | None = None, norm: Tensor | None = None) -> Tensor:
        """See `StepOperations`."""
        return F.linear(x if norm is None else self._normed(x, norm), weight, bias)

    def add_linear(self, x: Tensor, weight: Tensor, onto: Tensor) -> Tensor:
        """See `StepOperations`."""
        return onto.addmm_(x, weight.T)

    def gated(self, x: Tensor, gate_up: Tensor, norm: Tensor) -> Tensor:
        """See `StepOperations`."""
        gate, up = F.linear(self._normed(x, norm), gate_up).chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    def attend(self, states: Tensor, memory: Tensor, position: Tensor) -> Tensor:
        """See `StepOperations`. What is not filled is masked; the heads of a group are rows of one product."""
        parts = states.view(-1, memory.shape[4])  # (heads + 2·shared, h)
        turning, values = torch.split(parts, [self._heads + self._shared, self._shared])
        cos, sin = (table.index_select(0, position) for table in (self._cos, self._sin))
        turned = torch.addcmul(turning * cos, turning.roll(turning.shape[1] // 2, -1), sin)
        queries, keys = torch.split(turned, [self._heads, self._shared])
        memory.index_copy_(3, position, torch.cat((keys, values)).view(2, 1, self._shared, 1, -1))
        known_keys, known_values = memory[:, 0]  # (shared, K, h) each
        mask = self._seen.masked_fill(self._places > position, float("-inf"))
        scores = queries.reshape(self._shared, -1, queries.shape[1]) @ known_keys.mT * self._scale + mask
        return (torch.softmax(scores, dim=-1) @ known_values).view(1, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self._eps)
