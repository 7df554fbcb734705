"""How near does a product with one row come to the speed of memory, in each layout of the weights?

    python benchmarks/gemv.py [--threads N]              half a minute

An answer is made of such products (vidsearch/models/qwen2/linears.py), here with the shapes of
mobilevideogpt-0.5b. Each shape is there so often that no cache holds it. Figures are bytes of weights read a second,
as a share of what memory gives when it is only read, the larger of before and after. A busy machine spoils them. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from machine import finish

from vidsearch.models.qwen2.linears import (
    BlockedLinear,
    EmbeddingBagLinear,
    Int8EmbeddingBagLinear,
    Int8Linear,
    PackedLinear,
    PlainLinear,
)

SHAPES = {"qkv": (1152, 896), "out": (896, 896), "gate and up": (9728, 896), "down": (896, 4864), "head": (151936, 896)}
WIDE = 128
BYTES = 300_000_000  # of one shape's weights in all


def bags(kind: type[EmbeddingBagLinear | Int8EmbeddingBagLinear]) -> Callable[[torch.Tensor], PackedLinear]:
    return lambda weight: kind([weight.view(-1, WIDE, weight.shape[1]).transpose(1, 2)], None)


LAYOUTS: dict[str, Callable[[torch.Tensor], PackedLinear]] = {
    "bfloat16, plain": lambda weight: PlainLinear(weight, None),
    "bfloat16, oneDNN's blocks": lambda weight: BlockedLinear(weight, None),
    "bfloat16, embedding bags": bags(EmbeddingBagLinear),
    "int8, torch's product": lambda weight: Int8Linear(weight, None),
    "int8, embedding bags": bags(Int8EmbeddingBagLinear),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int)
    if threads := parser.parse_args().threads:
        torch.set_num_threads(threads)
    block = torch.ones(1 << 27)
    shares: dict[str, dict[str, float]] = {name: {} for name in LAYOUTS}
    speeds = [block.nbytes / best_s(block.sum)]
    for shape, (outputs, inputs) in SHAPES.items():
        weight = torch.randn(outputs, inputs).bfloat16()
        for name, layout in LAYOUTS.items():
            shares[name][shape] = read_speed(layout, weight)
    speeds.append(block.nbytes / best_s(block.sum))
    print(f"memory: {speeds[0] / 1e9:.1f} GB/s before, {speeds[1] / 1e9:.1f} after; shares of the larger one:")
    print(f"{'':28}" + "".join(f"{shape:>13}" for shape in SHAPES))
    for name, found in shares.items():
        for shape in found:
            found[shape] /= max(speeds)
        print(f"{name:28}" + "".join(f"{share:13.2f}" for share in found.values()))
    finish("gemv", threads=torch.get_num_threads(), memory_gb_per_s=max(speeds) / 1e9, shares=shares)


def read_speed(layout: Callable[[torch.Tensor], PackedLinear], weight: torch.Tensor) -> float:
    """Bytes of weights a second in products with one row."""
    products = [layout(weight) for _ in range(max(1, BYTES // weight.nbytes))]
    x = torch.randn(1, weight.shape[1]).bfloat16()

    def all_of_them() -> None:
        for product in products:
            product(x)

    with torch.inference_mode():
        return sum(product.bytes for product in products) / best_s(all_of_them)


def best_s(work: Callable[[], object]) -> float:
    """The shortest of 5 runs, in seconds."""
    found = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
