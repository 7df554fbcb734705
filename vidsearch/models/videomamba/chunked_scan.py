"""The selective scan in chunks that run side by side: a few large operations where the plain loop has many small ones.

A step h_t = a_t h_{t−1} + b_t is a map, and maps combine associatively: (a₂, b₂) ∘ (a₁, b₁) = (a₂ a₁, a₂ b₁ + b₂). So
a sequence is cut into C chunks of K steps. All chunks first run from state 0, step by step but side by side; from the
C maps so found follow the states that the chunks begin with; the chunks then run again, from these states. That is
2 K + C steps where the loop has L, at twice its arithmetic: for a device on which starting an operation takes longer
than the operation. On a CPU the loop is faster, whose states stay in the cache.

Source: Mamba (arXiv 2312.00752) section 3.3.2; Blelloch, "Prefix sums and their applications" (1990), section 1.4.

Axes: L time, C chunks, K steps of a chunk, R rows (direction × batch), E inner channels, S states.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def is_worthwhile(device: torch.device) -> bool:
    """Whether a scan without gradients is faster in chunks on this device."""
    return device.type != "cpu"


def chunked_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, steps: int | None = None) -> Tensor:
    """h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = C_t h_t, h before the start 0; no gradients.

    u and delta Δ (after softplus) are (L, R, E), A is (R, S, E), B and C are (L, R, S); y is (L, R, E). Numbers are
    those of `selective_scan` up to the order of the operations. `steps` is K; None: the square root of L.
    """
    length = len(u)
    steps = steps or max(1, math.isqrt(length))
    drive = _in_chunks(delta * u, steps)  # (K, C, R, E)
    delta, B, C = (_in_chunks(x, steps) for x in (delta, B, C))
    outputs = torch.empty_like(drive)
    state = A.new_zeros(drive.shape[1], *A.shape)  # (C, R, S, E)
    for k in range(steps):
        state = _step(state, drive[k], delta[k], A, B[k])
    state = _starts(state, torch.exp(delta.sum(0).unsqueeze(2) * A))
    for k in range(steps):
        state = _step(state, drive[k], delta[k], A, B[k])
        torch.matmul(C[k].unsqueeze(2), state, out=outputs[k].unsqueeze(2))  # (C, R, 1, E)
    return outputs.transpose(0, 1).flatten(0, 1)[:length]


def _step(state: Tensor, drive: Tensor, delta: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """One step of all chunks: state (C, R, S, E), drive Δ u and delta (C, R, E), B (C, R, S) → the next state."""
    kept = torch.mul(delta.unsqueeze(2), A).exp_().mul_(state)
    return kept.addcmul_(drive.unsqueeze(2), B.unsqueeze(3))


def _starts(ends: Tensor, factors: Tensor) -> Tensor:
    """The states (C, R, S, E) that the chunks begin with.

    `ends`: what each chunk makes of state 0; `factors`: what it multiplies its first state by.
    """
    starts = torch.zeros_like(ends)
    for chunk in range(1, len(ends)):
        torch.addcmul(ends[chunk - 1], factors[chunk - 1], starts[chunk - 1], out=starts[chunk])
    return starts


def _in_chunks(x: Tensor, steps: int) -> Tensor:
    """(L, …) → (K, C, …), zeros after the end: a step with Δ = 0 leaves the state as it is."""
    padding = -len(x) % steps
    padded = F.pad(x, (0, 0) * (x.ndim - 1) + (0, padding)) if padding else x
    return padded.view(-1, steps, *x.shape[1:]).transpose(0, 1).contiguous()
