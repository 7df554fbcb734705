"""The operations of a decode step as Triton kernels: seven a layer, each of which fills a GPU.

A step reads every weight once and computes next to nothing with it, so that time goes where memory is not read: into
starting kernels, and into kernels that keep few processors busy. Norms, bias, gates and residuals are therefore part of
the product beside them, and attention splits the keys over the processors and joins the parts afterwards
(Flash-Decoding; FlashAttention, arXiv 2205.14135, section 3.1). Sums are float32.

Triton comes with torch where torch has CUDA. `step_operations.py` has the same in torch, which tests compare.
"""

# Triton reads a kernel's annotations as its own: it has no types for pointers.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False, warn-unused-ignores=False

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.decoder import rotary_embedding

_SPLITS = 64  # parts of the keys
_KEYS = 32  # read at once in a part
_LEAST_ROWS = 16  # of a matrix that tensor cores multiply


class KernelOperations:
    """`StepOperations` on a CUDA device."""

    def __init__(self, config: LanguageModelConfig, capacity: int, like: Tensor) -> None:
        """For a memory of `capacity` positions; `like` gives the device and the precision."""
        self._heads, self._shared, self._eps = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.rms_norm_eps,
        )
        width = config.head_dim
        group = self._heads // self._shared
        self._rows = max(_LEAST_ROWS, triton.next_power_of_2(group))
        cos, sin = rotary_embedding(config, 0, capacity, like)
        self._cos, self._sin = cos.contiguous(), sin.contiguous()
        new = like.new_empty
        self._queries = new(self._heads, width)
        self._attended = new(1, self._heads * width)
        # Of each part of the keys: its largest score, the sum of its weights, and their mean value times that sum.
        self._peaks, self._sums = (new(self._shared, _SPLITS, self._rows, dtype=torch.float32) for _ in range(2))
        self._mixed = new(self._shared, _SPLITS, self._rows, width, dtype=torch.float32)

    def linear(self, x: Tensor, weight: Tensor, *, bias: Tensor | None = None, norm: Tensor | None = None) -> Tensor:
        """See `StepOperations`."""
        out = x.new_empty(1, len(weight))
        self._product(x, weight, bias, norm, None, out)
        return out

    def add_linear(self, x: Tensor, weight: Tensor, onto: Tensor) -> Tensor:
        """See `StepOperations`."""
        out = torch.empty_like(onto)
        self._product(x, weight, None, None, onto, out)
        return out

    def _product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, norm: Tensor | None, onto: Tensor | None, out: Tensor
    ) -> None:
        outputs, inputs = weight.shape
        rows, block, warps = _shape_of(outputs, inputs)
        _linear[(triton.cdiv(outputs, rows),)](
            x,
            weight,
            bias if bias is not None else x,
            norm if norm is not None else x,
            onto if onto is not None else x,
            out,
            self._eps,
            outputs,
            inputs,
            HAS_BIAS=bias is not None,
            HAS_NORM=norm is not None,
            HAS_ONTO=onto is not None,
            ROWS=rows,
            BLOCK=block,
            num_warps=warps,
        )

    def gated(self, x: Tensor, gate_up: Tensor, norm: Tensor) -> Tensor:
        """See `StepOperations`."""
        inner, width = len(gate_up) // 2, gate_up.shape[1]
        rows, block, warps = _shape_of(inner, width)
        out = x.new_empty(1, inner)
        _gated[(triton.cdiv(inner, rows),)](
            x, gate_up, norm, out, self._eps, inner, width, ROWS=rows, BLOCK=block, num_warps=warps
        )
        return out

    def attend(self, states: Tensor, memory: Tensor, position: Tensor) -> Tensor:
        """See `StepOperations`."""
        _, _, shared, capacity, width = memory.shape
        _turn[(self._heads + 2 * shared,)](
            states, self._cos, self._sin, position, self._queries, memory, self._heads, shared, capacity,
            HALF=width // 2, num_warps=1,
        )  # fmt: skip
        _attend[(shared, _SPLITS)](
            self._queries, memory, position, self._peaks, self._sums, self._mixed, width**-0.5, shared, capacity,
            GROUP=self._heads // shared, ROWS=self._rows, WIDTH=width, SPLITS=_SPLITS, KEYS=_KEYS, num_warps=4,
        )  # fmt: skip
        _join[(self._heads,)](
            self._peaks, self._sums, self._mixed, self._attended,
            GROUP=self._heads // shared, ROWS=self._rows, WIDTH=width, SPLITS=_SPLITS, num_warps=4,
        )  # fmt: skip
        return self._attended


def _shape_of(outputs: int, inputs: int) -> tuple[int, int, int]:
    """Outputs of a program, inputs that it reads at once, and its warps."""
    if inputs > 2048:
        return 1, 4096, 4
    return (4 if outputs < 2048 else 8), 512, 4


@triton.jit
def _linear(
    x, weight, bias, norm, onto, out, eps, outputs, inputs,
    HAS_BIAS: tl.constexpr, HAS_NORM: tl.constexpr, HAS_ONTO: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < outputs
    starts = weight + rows.to(tl.int64)[:, None] * inputs
    total = tl.zeros((ROWS,), tl.float32)
    square = 0.0
    for start in range(0, inputs, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < inputs
        weights = tl.load(starts + columns[None, :], mask=there[:, None] & inside[None, :], other=0.0).to(tl.float32)
        values = tl.load(x + columns, mask=inside, other=0.0).to(tl.float32)
        if HAS_NORM:
            square += tl.sum(values * values)
            values *= tl.load(norm + columns, mask=inside, other=0.0).to(tl.float32)
        total += tl.sum(weights * values[None, :], 1)
    if HAS_NORM:
        total *= tl.rsqrt(square / inputs + eps)
    if HAS_BIAS:
        total += tl.load(bias + rows, mask=there, other=0.0).to(tl.float32)
    if HAS_ONTO:
        total += tl.load(onto + rows, mask=there, other=0.0).to(tl.float32)
    tl.store(out + rows, total.to(out.dtype.element_ty), mask=there)


@triton.jit
def _gated(x, weight, norm, out, eps, inner, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < inner
    gates = weight + rows.to(tl.int64)[:, None] * width
    ups = gates + inner.to(tl.int64) * width
    gate = tl.zeros((ROWS,), tl.float32)
    up = tl.zeros((ROWS,), tl.float32)
    square = 0.0
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < width
        both = there[:, None] & inside[None, :]
        gate_weights = tl.load(gates + columns[None, :], mask=both, other=0.0).to(tl.float32)
        up_weights = tl.load(ups + columns[None, :], mask=both, other=0.0).to(tl.float32)
        values = tl.load(x + columns, mask=inside, other=0.0).to(tl.float32)
        square += tl.sum(values * values)
        values *= tl.load(norm + columns, mask=inside, other=0.0).to(tl.float32)
        gate += tl.sum(gate_weights * values[None, :], 1)
        up += tl.sum(up_weights * values[None, :], 1)
    scale = tl.rsqrt(square / width + eps)
    gate *= scale
    up *= scale
    tl.store(out + rows, (gate * tl.sigmoid(gate) * up).to(out.dtype.element_ty), mask=there)


@triton.jit
def _turn(states, cos, sin, position, queries, memory, heads, shared, capacity, HALF: tl.constexpr):
    """One head a program: queries are turned, keys turned and stored, values stored."""
    head = tl.program_id(0)
    place = tl.load(position)
    half = tl.arange(0, HALF)
    low = tl.load(states + head * 2 * HALF + half).to(tl.float32)
    high = tl.load(states + head * 2 * HALF + HALF + half).to(tl.float32)
    if head < heads + shared:
        c = tl.load(cos + place * 2 * HALF + half).to(tl.float32)
        s = tl.load(sin + place * 2 * HALF + half).to(tl.float32)
        turned = low * c - high * s
        high = high * c + low * s
        low = turned
    if head < heads:
        to = queries + head * 2 * HALF
    else:
        to = memory + ((head - heads) * capacity.to(tl.int64) + place) * 2 * HALF
    tl.store(to + half, low.to(queries.dtype.element_ty))
    tl.store(to + HALF + half, high.to(queries.dtype.element_ty))


@triton.jit
def _attend(
    queries, memory, position, peaks, sums, mixed, scale, shared, capacity,
    GROUP: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """The query heads of one key-value head, over one part of the keys."""
    head, split = tl.program_id(0), tl.program_id(1)
    seen = (tl.load(position) + 1).to(tl.int32)
    own = tl.cdiv(tl.cdiv(seen, SPLITS), KEYS) * KEYS
    first = split * own
    last = tl.minimum(first + own, seen)
    rows, columns = tl.arange(0, ROWS), tl.arange(0, WIDTH)
    q = tl.load(
        queries + (head * GROUP + rows)[:, None] * WIDTH + columns[None, :], mask=(rows < GROUP)[:, None], other=0.0
    )
    keys = memory + head * capacity.to(tl.int64) * WIDTH
    values = keys + shared * capacity.to(tl.int64) * WIDTH
    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    result = tl.zeros((ROWS, WIDTH), tl.float32)
    for start in range(first, last, KEYS):
        places = start + tl.arange(0, KEYS)
        inside = places < last
        k = tl.load(keys + places[:, None] * WIDTH + columns[None, :], mask=inside[:, None], other=0.0)
        v = tl.load(values + places[:, None] * WIDTH + columns[None, :], mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(inside[None, :], scores, float("-inf"))
        higher = tl.maximum(peak, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        kept = tl.exp(peak - higher)
        total = total * kept + tl.sum(weights, 1)
        result = result * kept[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        peak = higher
    part = (head * SPLITS + split) * ROWS + rows
    tl.store(peaks + part, peak)
    tl.store(sums + part, total)
    tl.store(mixed + part[:, None] * WIDTH + columns[None, :], result)


@triton.jit
def _join(peaks, sums, mixed, out, GROUP: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr):
    """The parts of one query head; a part without keys has no peak and no weight."""
    head = tl.program_id(0)
    splits, columns = tl.arange(0, SPLITS), tl.arange(0, WIDTH)
    part = (head // GROUP * SPLITS + splits) * ROWS + head % GROUP
    peak = tl.load(peaks + part)
    weight = tl.exp(peak - tl.max(peak, 0))
    total = tl.sum(weight * tl.load(sums + part), 0)
    values = tl.load(mixed + part[:, None] * WIDTH + columns[None, :])
    joined = tl.sum(values * weight[:, None], 0) / total
    tl.store(out + head * WIDTH + columns, joined.to(out.dtype.element_ty))
