"""The selective scan and the convolution before it as compiled loops, if numba is installed (extra `fast`).

Written in torch, every factor of every step goes through memory. Here the states of a tile of channels stay in
L1 from the first step to the last, and on the way back those of a block are made again from its start: Mamba
(arXiv 2312.00752) section 3.3.2 and appendix D, for a CPU. The kernels are compiled once a machine and kept on disk.

Axes: N batch, L time, E channels, S states, K taps. Arrays are float32 and contiguous.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_WORTHWHILE = 4_000_000  # states over all steps: below it, loading the kernels takes longer than torch's way
_NO_WIDER = (torch.float32, torch.bfloat16, torch.float16)  # than what the kernels compute in


def is_worthwhile(x: Tensor, states: int) -> bool:
    """Whether a scan over x (N, L, E) with so many states is faster compiled, and can be."""
    fits = x.device.type == "cpu" and x.dtype in _NO_WIDER
    return fits and x.numel() * states >= _WORTHWHILE and is_installed()


@cache
def is_installed() -> bool:
    """Whether numba is installed."""
    return importlib.util.find_spec("numba") is not None


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, reverse: bool) -> Tensor:
    """h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t, y_t = C_t h_t, from the last step to the first where `reverse`.

    u, delta Δ ≥ 0 are (N, L, E), A < 0 is (S, E), B and C are (N, L, S); y is (N, L, E).
    """
    with torch.autocast("cpu", enabled=False):
        inputs = (tensor.float().contiguous() for tensor in (u, delta, A, B, C))
        scanned: Tensor = _Scan.apply(*inputs, reverse)  # type: ignore[no-untyped-call]  # torch's gap
    return scanned


def convolved(x: Tensor, weight: Tensor, bias: Tensor, *, reverse: bool) -> Tensor:
    """silu(bias + Σ_k w_k x_{t−K+1+k}) of x (N, L, E), weight (E, K); `reverse`: of later steps. No gradients."""
    from vidsearch.models.videomamba import scan_kernels as kernels

    x, weight, bias = (tensor.detach().float().contiguous() for tensor in (x, weight.T, bias))
    out = torch.empty_like(x)
    _spread(kernels.convolve, x, x.numpy(), weight.numpy(), bias.numpy(), reverse, out.numpy())
    return out


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, reverse: bool) -> Tensor:
        from vidsearch.models.videomamba import scan_kernels as kernels

        inputs = (u, delta, A, B, C)
        learning = any(ctx.needs_input_grad)
        blocks = -(-u.shape[1] // kernels.BLOCK) if learning else 0
        starts = torch.empty(len(u), blocks, *A.shape)
        outputs = torch.empty_like(u)
        _spread(kernels.scan, u, *_arrays(*inputs), reverse, outputs.numpy(), starts.numpy())
        if learning:
            ctx.save_for_backward(*inputs, starts)
            ctx.reverse = reverse
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from vidsearch.models.videomamba import scan_kernels as kernels

        u, delta, A, B, C, starts = ctx.saved_tensors
        tiles = kernels.tiles(u.shape[2])
        to_u, to_delta = torch.empty_like(u), torch.empty_like(delta)
        to_A = A.new_empty(len(u), *A.shape)
        to_B, to_C = (tensor.new_empty(tiles, *tensor.shape) for tensor in (B, C))
        inputs = _arrays(u, delta, A, B, C, starts, grad.contiguous())
        gradients = _arrays(to_u, to_delta, to_A, to_B, to_C)
        _spread(kernels.scan_back, u, *inputs, ctx.reverse, *gradients)
        return to_u, to_delta, to_A.sum(0), to_B.sum(0), to_C.sum(0), None


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _spread(kernel: Callable[..., None], like: Tensor, *arrays: Any) -> None:
    """Run a kernel over all tiles of all rows of `like` (N, L, E), a part of them in each of torch's threads."""
    from vidsearch.models.videomamba import scan_kernels as kernels

    tasks = len(like) * kernels.tiles(like.shape[2])
    threads = min(torch.get_num_threads(), tasks)
    cuts = [tasks * n // threads for n in range(threads + 1)]
    parts = list(pairwise(cuts))
    waiting = [_helpers().submit(kernel, *arrays, *part) for part in parts[1:]]
    kernel(*arrays, *parts[0])
    for part in waiting:
        part.result()


@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="scan")
