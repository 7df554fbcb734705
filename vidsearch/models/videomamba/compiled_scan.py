"""The selective scan and the convolution before it as compiled loops, where numba is installed (extra `fast`).

Written in torch, every factor of every step goes through memory. Here the states of a tile of channels stay in the
first cache from the first step to the last, and on the way back those of a block are made again from its start: Mamba
(arXiv 2312.00752) section 3.3.2 and appendix D, for a CPU. The kernels are compiled once a machine and kept on disk.

Axes: B batch, L time, E channels, S states, K taps. Arrays are float32 and contiguous.
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


def is_worthwhile(u: Tensor, states: int) -> bool:
    """Whether a scan over u (B, L, E) with so many states is faster compiled, and can be."""
    fits = u.device.type == "cpu" and u.dtype in _NO_WIDER
    return fits and u.numel() * states >= _WORTHWHILE and is_installed()


@cache
def is_installed() -> bool:
    """Whether numba is there."""
    return importlib.util.find_spec("numba") is not None


def scan(values: Tensor, delta: Tensor, decay: Tensor, write: Tensor, read: Tensor, *, reverse: bool) -> Tensor:
    """h_t = exp(Δ_t A) h_{t−1} + Δ_t v_t B_t, y_t = C_t h_t, from the last step to the first where `reverse`.

    values v, delta Δ ≥ 0 are (B, L, E), decay A < 0 is (S, E), write B and read C (B, L, S); y is (B, L, E).
    """
    with torch.autocast("cpu", enabled=False):
        inputs = (x.float().contiguous() for x in (values, delta, decay, write, read))
        scanned: Tensor = _Scan.apply(*inputs, reverse)  # type: ignore[no-untyped-call]  # torch's gap
    return scanned


def convolved(u: Tensor, weight: Tensor, bias: Tensor, *, reverse: bool) -> Tensor:
    """silu(bias + Σ_k w_k u_{t−K+1+k}) of u (B, L, E), weight (E, K); `reverse`: of later steps. No gradients."""
    from vidsearch.models.videomamba import scan_kernels as kernels

    u, weight, bias = (x.detach().float().contiguous() for x in (u, weight.T, bias))
    out = torch.empty_like(u)
    _spread(kernels.convolve, u, u.numpy(), weight.numpy(), bias.numpy(), reverse, out.numpy())
    return out


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, delta: Tensor, decay: Tensor, write: Tensor, read: Tensor, reverse: bool
    ) -> Tensor:
        from vidsearch.models.videomamba import scan_kernels as kernels

        inputs = (values, delta, decay, write, read)
        learning = any(ctx.needs_input_grad)
        blocks = -(-values.shape[1] // kernels.BLOCK) if learning else 0
        starts = torch.empty(len(values), blocks, *decay.shape)
        outputs = torch.empty_like(values)
        _spread(kernels.scan, values, *_arrays(*inputs), reverse, outputs.numpy(), starts.numpy())
        if learning:
            ctx.save_for_backward(*inputs, starts)
            ctx.reverse = reverse
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from vidsearch.models.videomamba import scan_kernels as kernels

        values, delta, decay, write, read, starts = ctx.saved_tensors
        tiles = kernels.tiles(values.shape[2])
        to_values, to_delta = torch.empty_like(values), torch.empty_like(delta)
        to_decay = decay.new_empty(len(values), *decay.shape)
        to_write, to_read = (x.new_empty(tiles, *x.shape) for x in (write, read))
        inputs = _arrays(values, delta, decay, write, read, starts, grad.contiguous())
        gradients = _arrays(to_values, to_delta, to_decay, to_write, to_read)
        _spread(kernels.scan_back, values, *inputs, ctx.reverse, *gradients)
        return to_values, to_delta, to_decay.sum(0), to_write.sum(0), to_read.sum(0), None


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _spread(kernel: Callable[..., None], like: Tensor, *arrays: Any) -> None:
    """Run a kernel over all tiles of all rows of `like` (B, L, E), a part of them in each of torch's threads."""
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
