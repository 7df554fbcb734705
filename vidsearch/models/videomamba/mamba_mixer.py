"""The bidirectional Mamba mixer of VideoMamba, with its selective scan.

Source: Mamba (arXiv 2312.00752) sections 3.2 and 3.3; VideoMamba (arXiv 2403.06977) section 3.2. Attribute names are
the published checkpoint's: plain names run forward in time, names with `_b` backward.

Axes: N batch, L time, M model width, E inner channels, S states, R rows (direction × batch).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vidsearch.models.videomamba import chunked_scan
from vidsearch.models.videomamba.compiled_scan import convolved, is_worthwhile, scan
from vidsearch.models.videomamba.config import MixerConfig

_BLOCK = 16  # steps whose factors are made at once; both factors of a block then stay in the cache


class MambaMixer(nn.Module):
    """A sequence mixed in both directions of time. Keyword arguments are the fields of MixerConfig."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = c = MixerConfig(**config)
        self.in_proj = nn.Linear(c.d_model, 2 * c.d_inner, bias=False)
        self.conv1d, self.conv1d_b = _causal_convolution(c), _causal_convolution(c)
        self.x_proj, self.x_proj_b = (nn.Linear(c.d_inner, c.dt_rank + 2 * c.d_state, bias=False) for _ in range(2))
        self.dt_proj, self.dt_proj_b = _step_projection(c), _step_projection(c)
        self.A_log, self.A_b_log = _decay_logarithms(c), _decay_logarithms(c)
        self.D, self.D_b = nn.Parameter(torch.ones(c.d_inner)), nn.Parameter(torch.ones(c.d_inner))
        self.out_proj = nn.Linear(c.d_inner, c.d_model, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(N, L, M) → (N, L, M); both directions are summed before the shared output projection."""
        x, z = self.in_proj(hidden).chunk(2, dim=-1)  # (N, L, E) each
        mixed = self._compiled(x) if is_worthwhile(x, self.config.d_state) else self._mixed(x)
        # Each direction has its z reversed with it; back in order the two gates are one.
        return self.out_proj(mixed.to(z.dtype) * F.silu(z))

    def _compiled(self, x: Tensor) -> Tensor:
        """As `_mixed`: the backward direction is not reversed but run from the end."""
        c, exact = self.config, x.float()
        total = None
        for reverse, (convolution, project, step, A, D) in enumerate(self._directions()):
            weight, bias = convolution.weight[:, 0], convolution.bias
            assert bias is not None  # nn.Conv1d is built with one
            if torch.is_grad_enabled():
                u = F.silu(_causally_convolved(exact, convolution, time=1, reverse=bool(reverse)))
            else:
                u = convolved(exact, weight, bias, reverse=bool(reverse))
            rank, B, C = project(u.to(x.dtype)).split((c.dt_rank, c.d_state, c.d_state), dim=-1)
            delta = F.softplus(step(rank))
            y = scan(u, delta, -torch.exp(A.float()).T, B, C, reverse=bool(reverse))
            y = torch.addcmul(y if total is None else total + y, u, D.float())
            total = y
        assert total is not None
        return total

    def _mixed(self, x: Tensor) -> Tensor:
        """(N, L, E) → (N, L, E): both directions, convolved, scanned and summed."""
        x = x.transpose(0, 1).contiguous()  # (L, N, E): time is the slow axis, channels lie side by side
        batch = x.shape[1]
        forward = self._scan_inputs(x, self.conv1d, self.x_proj, self.dt_proj)
        backward = self._scan_inputs(x.flip(0), self.conv1d_b, self.x_proj_b, self.dt_proj_b)
        u, delta, B, C = (torch.cat(pair, dim=1) for pair in zip(forward, backward, strict=True))
        A = -torch.exp(torch.stack((self.A_log, self.A_b_log)).to(u.dtype)).transpose(1, 2)  # (2, S, E)
        D = torch.stack((self.D, self.D_b)).to(u.dtype)  # (2, E)
        y = selective_scan(u, delta, A.repeat_interleave(batch, 0), B, C)
        y = y.addcmul_(u, D.repeat_interleave(batch, 0))  # (L, R, E)
        return (y[:, :batch] + y[:, batch:].flip(0)).transpose(0, 1)

    def _directions(self) -> tuple[tuple[nn.Conv1d, nn.Linear, nn.Linear, Tensor, Tensor], ...]:
        return (
            (self.conv1d, self.x_proj, self.dt_proj, self.A_log, self.D),
            (self.conv1d_b, self.x_proj_b, self.dt_proj_b, self.A_b_log, self.D_b),
        )

    def _scan_inputs(
        self, x: Tensor, convolution: nn.Conv1d, project: nn.Linear, step: nn.Linear
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(L, N, E) in the direction's order → u, Δ (L, N, E), B, C (L, N, S); float32 or wider."""
        c = self.config
        exact = torch.promote_types(x.dtype, torch.float32)
        u = F.silu(_causally_convolved(x.to(exact), convolution))  # faster than in bfloat16, too
        rank, B, C = project(u.to(x.dtype)).split((c.dt_rank, c.d_state, c.d_state), dim=-1)
        delta = F.softplus(step(rank))
        return u, delta.to(exact), B.to(exact), C.to(exact)


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = C_t h_t, h before the start 0: Mamba sections 2 and 3.3.

    u and delta Δ (after softplus) are (L, R, E), A is (R, S, E), B and C are (L, R, S); y is (L, R, E).
    Every operand has its channels side by side and time outermost, so that one step is one fused multiply-add over
    memory that lies in order. The states are sums over the whole sequence: autocast does not narrow them.
    """
    learning = torch.is_grad_enabled() and any(x.requires_grad for x in (u, delta, A, B, C))
    with torch.autocast(u.device.type, enabled=False):
        if not learning and chunked_scan.is_worthwhile(u.device):
            return chunked_scan.chunked_scan(u, delta, A, B, C)
        scanned: Tensor = _SelectiveScan.apply(u, delta, A, B, C)  # type: ignore[no-untyped-call]  # torch's gap
    return scanned


class _SelectiveScan(torch.autograd.Function):
    """The scan and its gradient. Of the states only one in a block is kept; the rest are made again on the way back.

    Mamba section 3.3.2 does the same: a graph over every state of a full-size encoder would need 20 GB.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        learning = any(ctx.needs_input_grad)
        state, starts, outputs = torch.zeros_like(A), [], torch.empty_like(u)
        # Memory of one block serves them all: fresh memory would cost more than what is computed into it.
        keep, gain = torch.empty((2, _BLOCK, *A.shape), dtype=A.dtype, device=A.device)
        for steps in _blocks(len(u)):
            if learning:
                starts.append(state.clone())
            size = len(u[steps])
            _factors(steps, u, delta, A, B, keep[:size], gain[:size])
            states = _states(keep[:size], gain[:size], state)
            torch.matmul(C[steps].unsqueeze(2), states, out=outputs[steps].unsqueeze(2))  # (K, R, 1, E)
            state.copy_(states[-1])
        if learning:
            ctx.save_for_backward(u, delta, A, B, C, *starts)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """With g_t = ∂/∂h_t = C_t grad_t + exp(Δ_{t+1} A) g_{t+1}, every gradient is a product with g, h or both."""
        u, delta, A, B, C, *starts = ctx.saved_tensors
        to_u, to_delta, to_B, to_C = (torch.empty_like(tensor) for tensor in (u, delta, B, C))
        to_A, later = torch.zeros_like(A), torch.zeros_like(A)
        for steps, start in zip(reversed(_blocks(len(u))), reversed(starts), strict=True):
            keep, gain = torch.empty((2, len(u[steps]), *A.shape), dtype=A.dtype, device=A.device)
            _factors(steps, u, delta, A, B, keep, gain)
            states = _states(keep, gain, start)
            reach = C[steps].unsqueeze(3) * grad[steps].unsqueeze(2)  # (K, R, S, E), becomes g
            reach[-1] += later
            for t in reversed(range(len(reach) - 1)):
                reach[t].addcmul_(keep[t + 1], reach[t + 1])
            later = keep[0] * reach[0]
            exponent = reach * torch.cat((start.unsqueeze(0), states[:-1])) * keep  # ∂/∂(Δ A)
            drive = torch.matmul(B[steps].unsqueeze(2), reach).squeeze(2)  # (K, R, E): ∂/∂(Δ u)
            to_A += (exponent * delta[steps].unsqueeze(2)).sum(0)
            to_delta[steps] = (exponent * A).sum(2) + drive * u[steps]
            to_u[steps] = drive * delta[steps]
            to_B[steps] = torch.matmul(reach, (delta[steps] * u[steps]).unsqueeze(3)).squeeze(3)
            to_C[steps] = torch.matmul(states, grad[steps].unsqueeze(3)).squeeze(3)
        return to_u, to_delta, to_A, to_B, to_C


def _blocks(length: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, length, _BLOCK)]


def _factors(steps: slice, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, keep: Tensor, gain: Tensor) -> None:
    """exp(Δ_t A) and Δ_t u_t B_t of the K steps of a block, written to `keep` and `gain`, (K, R, S, E) each."""
    torch.mul(delta[steps].unsqueeze(2), A, out=keep).exp_()
    torch.mul((delta[steps] * u[steps]).unsqueeze(2), B[steps].unsqueeze(3), out=gain)


def _states(keep: Tensor, gain: Tensor, state: Tensor) -> Tensor:
    """(K, …) factors and the state before them → the K states, h_t = keep_t h_{t−1} + gain_t, written over `gain`."""
    for factor, addend in zip(keep.unbind(), gain.unbind(), strict=True):
        state = addend.addcmul_(factor, state)
    return gain


def _causally_convolved(x: Tensor, convolution: nn.Conv1d, *, time: int = 0, reverse: bool = False) -> Tensor:
    """Per channel, the last axis: out_t = bias + Σ_k w_k x_{t−K+1+k} along axis `time`, as shifted sums.

    There are zeros before the start; `reverse`: the same read from the end to the start.
    """
    weight, bias = convolution.weight[:, 0].to(x.dtype), convolution.bias  # (E, K), (E)
    assert bias is not None  # nn.Conv1d is built with one
    taps, length = weight.shape[1], x.shape[time]
    sides = (0, taps - 1) if reverse else (taps - 1, 0)
    padded = F.pad(x, (0, 0) * (x.ndim - 1 - time) + sides)
    shifts = [taps - 1 - k if reverse else k for k in range(taps)]
    total = torch.addcmul(bias.to(x.dtype), padded.narrow(time, shifts[0], length), weight[:, 0])
    for k in range(1, taps):
        total.addcmul_(padded.narrow(time, shifts[k], length), weight[:, k])
    return total


def _causal_convolution(c: MixerConfig) -> nn.Conv1d:
    return nn.Conv1d(c.d_inner, c.d_inner, c.d_conv, groups=c.d_inner)


def _decay_logarithms(c: MixerConfig) -> nn.Parameter:
    """(E, S): A = −(1, 2, …, S) for every channel, Mamba section 3.6."""
    return _parameter(np.tile(np.log(np.arange(1.0, c.d_state + 1)), (c.d_inner, 1)))


def _step_projection(c: MixerConfig) -> nn.Linear:
    """The projection to Δ, whose bias makes Δ log-uniform in 0.001…0.1 at the start, Mamba section 3.6."""
    step = nn.Linear(c.dt_rank, c.d_inner)
    nn.init.uniform_(step.weight, -(c.dt_rank**-0.5), c.dt_rank**-0.5)
    low, high = math.log(0.001), math.log(0.1)
    delta = np.exp(low + (high - low) * torch.rand(c.d_inner, device="cpu").double().numpy())  # torch's seed governs
    step.bias = _parameter(np.log(np.expm1(delta)))  # softplus turned round
    return step


def _parameter(values: NDArray[np.float64]) -> nn.Parameter:
    """A parameter with these values; without values inside `init_empty_weights`, which skips copies."""
    parameter = nn.Parameter(torch.empty(values.shape))
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))
    return parameter
