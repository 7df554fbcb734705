"""Which layout of its weights does each product of a token read fastest on this machine? Less than a second.

Every layout gets weights of its own of each shape, and a round goes through all of them: by the time a product comes
again, those of the others have taken its place in the caches, as they do between two tokens of an answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vidsearch.models.qwen2.linears import (
    Layout,
    PackedLinear,
    Product,
    WeightFormat,
    activation_dtype,
    pack_linear,
    usable_layouts,
)

CLEARLY = 0.9  # of the usual layout's time: what is hardly quicker is not worth a change
_BUDGET_S = 0.2  # of reading, twice; packing takes about as long
_BYTES = 12_000_000  # of weights of one shape
_ALIGNED = 128  # outputs, which every layout takes
Way = tuple[Product, Layout]


@torch.inference_mode()
def measured_layouts(products: Sequence[Product], weights: WeightFormat) -> dict[Product, Layout]:
    """The layout of each product: the usual one, or another one that is clearly quicker in two measurements."""
    ways = {
        (product, layout): _copies(product, weights, layout)
        for product in products
        for layout in usable_layouts(product[0], weights)
    }
    rows = {inputs: torch.ones(1, inputs, dtype=activation_dtype(weights)) for _, inputs in products}
    first, second = (_timed(ways, rows) for _ in range(2))
    chosen = {}
    for product in products:
        usual = usable_layouts(product[0], weights)[0]
        best = _quickest(product, usual, first)
        chosen[product] = best if best == _quickest(product, usual, second) else usual
    return chosen


def _timed(ways: Mapping[Way, Sequence[PackedLinear]], rows: Mapping[int, Tensor]) -> dict[Way, float]:
    """Seconds at the best of several rounds."""
    best_s = dict.fromkeys(ways, float("inf"))
    started = time.perf_counter()
    while time.perf_counter() - started < _BUDGET_S:
        for way, linears in ways.items():
            x = rows[way[0][1]]
            began = time.perf_counter()
            for linear in linears:
                linear(x)
            best_s[way] = min(best_s[way], time.perf_counter() - began)
    return best_s


def _quickest(product: Product, usual: Layout, best_s: Mapping[Way, float]) -> Layout:
    times = {layout: seconds for (own, layout), seconds in best_s.items() if own == product}
    best = min(times, key=lambda layout: times[layout])
    return best if times[best] < CLEARLY * times[usual] else usual


def _copies(product: Product, weights: WeightFormat, layout: Layout) -> list[PackedLinear]:
    """So many products of one shape as weigh 12 MB; of a wider one, a part of its outputs."""
    parts, inputs = product
    row_bytes = {"float32": 4, "bfloat16": 2, "int8": 1}[weights] * inputs
    most = max(_ALIGNED, _BYTES // row_bytes // _ALIGNED * _ALIGNED)
    weight = torch.ones(min(sum(parts), most), inputs, dtype=torch.bfloat16)
    return [pack_linear([weight], None, weights, layout) for _ in range(max(1, _BYTES // (row_bytes * len(weight))))]
