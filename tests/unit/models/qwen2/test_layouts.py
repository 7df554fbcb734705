"""Every layout of packed weights gives the same product, and the one that is quickest here is chosen and kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vidsearch import dirs
from vidsearch.answering.mobilevideogpt import packed_layouts
from vidsearch.answering.mobilevideogpt.packed_layouts import layouts_for
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.qwen2 import measure_layouts
from vidsearch.models.qwen2.linears import Layout, PackedLinear, Product, WeightFormat, pack_linear, usable_layouts
from vidsearch.models.qwen2.measure_layouts import measured_layouts
from vidsearch.models.qwen2.packed import products

FORMATS: tuple[WeightFormat, ...] = ("float32", "bfloat16", "int8")
WIDE = CONFIGS["mobilevideogpt-0.5b"].language_model
NARROW = CONFIGS["mobilevideogpt-nano"].language_model


@pytest.mark.parametrize(("weights", "tolerance"), [("float32", 1e-6), ("bfloat16", 1e-2), ("int8", 2e-2)])
@pytest.mark.parametrize("parts", [(256, 128, 128), (192, 64), (4096, 4096)])
def test_every_layout_gives_the_same_product(weights: WeightFormat, tolerance: float, parts: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(outputs, 96, generator=generator) for outputs in parts]
    bias = torch.randn(sum(parts), generator=generator)
    exact = torch.cat(tensors)
    for rows in (1, 3, 100):
        x = torch.randn(rows, 96, generator=generator)
        expected = x @ exact.T + bias
        for layout in usable_layouts(parts, weights):
            linear = pack_linear(tensors, bias, weights, layout)
            got = linear(x if weights == "float32" else x.bfloat16())
            assert float((got - expected).abs().max() / expected.abs().max()) < tolerance, (layout, rows)


def test_the_products_of_a_token_are_those_of_the_network() -> None:
    assert products(WIDE) == [
        ((896, 128, 128), 896),
        ((896,), 896),
        ((4864, 4864), 896),
        ((896,), 4864),
        ((151936,), 896),
    ]


class Slowed(PackedLinear):
    """A product that takes two milliseconds more."""

    def __init__(self, linear: PackedLinear) -> None:
        self.linear, self.bytes = linear, linear.bytes

    def __call__(self, x: Tensor) -> Tensor:
        time.sleep(2e-3)
        return self.linear(x)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine would take longer than what is made slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("weights", FORMATS)
@pytest.mark.parametrize("quick", range(2))
def test_a_layout_that_is_clearly_quicker_is_found(
    weights: WeightFormat, quick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[Product] = [((4096, 4096), 64), ((256,), 64)]
    layouts = usable_layouts((256,), weights)
    wanted = layouts[quick if quick == 0 else len(layouts) - 1]

    def pack(parts: list[Tensor], bias: None, weights: WeightFormat, layout: Layout) -> PackedLinear:
        linear = pack_linear(parts, bias, weights, layout)
        return linear if layout == wanted else Slowed(linear)

    monkeypatch.setattr(measure_layouts, "pack_linear", pack)
    monkeypatch.setattr(measure_layouts, "_BYTES", 40_000)
    assert measured_layouts(shapes, weights) == dict.fromkeys(shapes, wanted)


@pytest.fixture
def measurements_made(monkeypatch: pytest.MonkeyPatch) -> list[WeightFormat]:
    """The formats that were measured, with an answer that is not the usual one."""
    made: list[WeightFormat] = []

    def measure(shapes: list[Product], weights: WeightFormat) -> dict[Product, Layout]:
        made.append(weights)
        return dict.fromkeys(shapes, "plain")

    monkeypatch.setattr(packed_layouts, "measured_layouts", measure)
    monkeypatch.setattr(packed_layouts, "is_busy", lambda: False)
    return made


def test_what_was_measured_is_kept_for_each_precision(measurements_made: list[WeightFormat]) -> None:
    plain = dict.fromkeys(products(WIDE), "plain")
    for _ in range(2):
        assert layouts_for(WIDE, "bfloat16") == layouts_for(WIDE, "int8") == plain
    assert measurements_made == ["bfloat16", "int8"]
    assert layouts_for(replace(WIDE, intermediate_size=2432), "int8").keys() != plain.keys()
    assert measurements_made == ["bfloat16", "int8", "int8"]


@pytest.mark.parametrize("change", [lambda found: found.clear(), lambda found: found.update({"896x896": "woven"})])
def test_a_damaged_measurement_is_made_again(
    change: Callable[[dict[str, str]], None], measurements_made: list[WeightFormat]
) -> None:
    layouts_for(WIDE, "bfloat16")
    [path] = (dirs.cache_dir() / "measured").iterdir()
    entry = json.loads(path.read_text())
    change(entry["found"])
    path.write_text(json.dumps(entry))
    assert layouts_for(WIDE, "bfloat16") == dict.fromkeys(products(WIDE), "plain")
    assert measurements_made == ["bfloat16", "bfloat16"]


def test_a_busy_machine_and_a_small_model_are_not_measured(
    measurements_made: list[WeightFormat], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert layouts_for(NARROW, "float32") == {}
    monkeypatch.setattr(packed_layouts, "is_busy", lambda: True)
    assert layouts_for(WIDE, "bfloat16") == {}
    assert measurements_made == [] and not (dirs.cache_dir() / "measured").exists()
    monkeypatch.setattr(packed_layouts, "is_busy", lambda: False)
    layouts_for(WIDE, "bfloat16")
    monkeypatch.setattr(packed_layouts, "is_busy", lambda: True)
    assert layouts_for(WIDE, "bfloat16") != {}  # what is kept is used
