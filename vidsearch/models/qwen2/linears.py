"""Products with packed weights: x → x Wᵀ + b, fast for one row, which is what every token of an answer asks for.

A product with one row costs one reading of its weights, so what counts is how near it comes to the speed of memory
(benchmarks/gemv.py). On the processors measured so far an embedding bag comes nearest. With the weights cut into blocks
of some outputs, each block a table with a row for every input, x Wᵀ is for each block the sum of the table's rows
weighted by x. fbgemm generates code for just that, with prefetching, for floats, for bfloat16 and for 8-bit rows. Where
torch has no fbgemm (not x86), oneDNN's blocked layout serves, and else the plain one. What is quickest here can be
measured: `measure_layouts.py`.

Axes: L rows of x, S blocks, I inputs, O outputs, W outputs of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

WeightFormat = Literal["float32", "bfloat16", "int8"]

Product = tuple[tuple[int, ...], int]  # outputs of each part of its weight, and inputs
Layout = Literal["bags64", "bags128", "blocked", "plain"]

# Outputs of a block of each: wide ones read faster, and there should be enough of them for all threads.
_BAGS: dict[Layout, int] = {"bags64": 64, "bags128": 128}
_MANY_OUTPUTS = 4096
_FEW_ROWS = 64  # so many are multiplied block by block; for more it pays to put the blocks side by side first
_AT_ONCE = 64  # blocks packed to 8 bits at once, which are in float32 for a moment


class PackedLinear:
    """x → x Wᵀ + b. `bytes` is the size of the weights."""

    bytes: int

    def __call__(self, x: Tensor) -> Tensor:
        """(L, I) → (L, O)."""
        raise NotImplementedError


def usable_layouts(parts: Sequence[int], weights: WeightFormat) -> list[Layout]:
    """The layouts that this torch has for weights with so many outputs in each part; the one used unmeasured first."""
    found: list[Layout] = []
    if has_fbgemm():
        found = [name for name, width in _BAGS.items() if sum(parts) % width == 0]
        if all(outputs >= _MANY_OUTPUTS and outputs % _BAGS["bags128"] == 0 for outputs in parts):
            found.reverse()
    if weights != "int8" and has_onednn(activation_dtype(weights)):
        found.insert(0 if weights == "float32" else len(found), "blocked")
    return [*found, "plain"]


def pack_linear(
    parts: Sequence[Tensor], bias: Tensor | None, weights: WeightFormat, layout: Layout | None = None
) -> PackedLinear:
    """A copy of the weight, given in parts (O', I) of its outputs, in a layout; None: the one used unmeasured.

    `layout` is one of `usable_layouts`. No tensor given is kept.
    """
    layout = layout or usable_layouts([len(part) for part in parts], weights)[0]
    bias = None if bias is None else bias.to(activation_dtype(weights), copy=True)
    if layout in _BAGS:
        width = _BAGS[layout]
        if any(len(part) % width for part in parts):
            parts = [torch.cat(list(parts))]
        blocks = [part.view(-1, width, part.shape[1]).transpose(1, 2) for part in parts]  # (S', I, W) each
        return Int8EmbeddingBagLinear(blocks, bias) if weights == "int8" else EmbeddingBagLinear(blocks, bias, weights)
    weight = torch.cat(list(parts)) if len(parts) > 1 else parts[0]
    if weights == "int8":
        return Int8Linear(weight, bias)
    return (BlockedLinear if layout == "blocked" else PlainLinear)(weight.to(activation_dtype(weights)), bias)


def activation_dtype(weights: WeightFormat) -> torch.dtype:
    """Of what goes through the products, and of the weights that are not rounded to 8 bits."""
    return torch.float32 if weights == "float32" else torch.bfloat16


def has_fbgemm() -> bool:
    """Whether this torch has fbgemm and its embedding bags, which it has on x86."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        torch.ops.quantized, "embedding_bag_byte_rowwise_offsets"
    )


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether this torch has oneDNN, and oneDNN runs this precision on this processor."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    if not there or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return False
    return dtype is torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


class PlainLinear(PackedLinear):
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight, self.bias = weight.clone(), bias
        self.bytes = weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class BlockedLinear(PackedLinear):
    """The weight in the layout that oneDNN wants, made once."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
        self.bias = bias
        self.bytes = weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


class EmbeddingBagLinear(PackedLinear):
    """Weights in blocks: one row of x weighs their rows, several are multiplied with them as with matrices."""

    def __init__(self, blocks: Sequence[Tensor], bias: Tensor | None, weights: WeightFormat = "bfloat16") -> None:
        self.blocks = torch.cat([part.to(activation_dtype(weights)) for part in blocks])  # (S, I, W)
        self.table = self.blocks.flatten(0, 1)  # the same memory
        self.bias = bias
        self.bytes = self.blocks.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        product = self._one_row(x) if len(x) == 1 else multiplied(x, self.blocks)
        return product if self.bias is None else product + self.bias

    def _one_row(self, x: Tensor) -> Tensor:
        count, inputs, _ = self.blocks.shape
        rows, starts = _bags(count, inputs)
        # Positional as torch has them: no scaling by frequency, mode 0 (sum), not sparse.
        return torch.embedding_bag(self.table, rows, starts, False, 0, False, x[0].repeat(count))[0].view(1, -1)


class Int8EmbeddingBagLinear(PackedLinear):
    """Weights in blocks, rounded to 8 bits with a scale and an offset for each row of a block; sums are float32."""

    def __init__(self, blocks: Sequence[Tensor], bias: Tensor | None) -> None:
        self.count, self.inputs = sum(map(len, blocks)), blocks[0].shape[1]
        few = (part.float().flatten(0, 1) for given in blocks for part in torch.split(given, _AT_ONCE))
        # (S·I, W + 8) bytes: the row, its scale and its offset
        self.table = torch.cat([torch.ops.quantized.embedding_bag_byte_prepack(part) for part in few])
        self.bias = bias
        self.bytes = self.table.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        product = self._one_row(x) if len(x) == 1 else multiplied(x, self._unpacked(x.dtype))
        return product if self.bias is None else product + self.bias

    def _one_row(self, x: Tensor) -> Tensor:
        rows, starts = _bags(self.count, self.inputs)
        weights = x[0].float().repeat(self.count)
        bag = torch.ops.quantized.embedding_bag_byte_rowwise_offsets
        return bag(self.table, rows, starts, False, 0, False, weights).view(1, -1).to(x.dtype)

    def _unpacked(self, dtype: torch.dtype) -> Tensor:
        """(S, I, W)."""
        rows = torch.ops.quantized.embedding_bag_byte_unpack(self.table)
        return rows.to(dtype).view(self.count, self.inputs, -1)


class Int8Linear(PackedLinear):
    """Weights rounded to 8 bits, with one scale for each output; activations stay bfloat16."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        wide = weight.float()
        scales = wide.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.weight = (wide / scales[:, None]).round().to(torch.int8)
        self.scales = scales.to(torch.bfloat16)
        self.bias = bias
        self.bytes = self.weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return F.linear(x, self.weight.to(x.dtype) * self.scales[:, None], self.bias)
        product = torch._weight_int8pack_mm(x.contiguous(), self.weight, self.scales)
        return product if self.bias is None else product + self.bias


def multiplied(x: Tensor, blocks: Tensor) -> Tensor:
    """(L, I) and blocks (S, I, W) → (L, S·W)."""
    if len(x) <= _FEW_ROWS:
        return torch.matmul(x, blocks).transpose(0, 1).flatten(1)
    return x @ blocks.transpose(0, 1).flatten(1)


@lru_cache(maxsize=16)
def _bags(count: int, inputs: int) -> tuple[Tensor, Tensor]:
    """Numbers of the rows (S·I,), block after block, and the number that each block begins with (S,)."""
    return torch.arange(count * inputs, dtype=torch.int32), torch.arange(0, count * inputs, inputs, dtype=torch.int32)
