"""The form that is exported to phones equals the fused network, in every size and with every part along time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from seeded import TEXT, TEXT_MCT, TEXT_PRUNED, seeded, small_config
from torch import Tensor, nn

from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobileviclip.config import (
    ABLATION,
    CONFIGS,
    MobileCLIPConfig,
    MobileViCLIPConfig,
    TemporalConfig,
    TextConfig,
)
from vidsearch.models.mobileviclip.export_form import FormOptions, clip_tower, text_inputs, text_tower
from vidsearch.models.mobileviclip.load import Network, load_network
from vidsearch.models.mobileviclip.tokenizer import tokenize

TEXTS = ["", "a red circle moves to the left", "word " * 200]
WAYS = [FormOptions("shifted", "grouped"), FormOptions("convolution", "grouped"), FormOptions("shifted", "split")]
MOST = 1e-6  # of difference: float32 sums in another order
EXACT = 1e-12  # the same in float64


def small(temporal: TemporalConfig) -> MobileViCLIPConfig:
    config = small_config("mobileviclip-tiny")
    assert isinstance(config, MobileViCLIPConfig)
    return replace(config, temporal=temporal)


CONFIGS_ALONG_TIME: dict[str, MobileCLIPConfig] = {
    **{name: small(temporal) for name, temporal in ABLATION.items()},
    "tpe before": small(TemporalConfig(tpe_place="before")),
    "tpe in each block": small(TemporalConfig(tpe_place="block")),
    "a kernel of five": small(TemporalConfig(kernel=5, conv_bias=False)),
    "pictures": small_config("mobileclip-s0"),
}


def clips(config: MobileCLIPConfig, count: int = 2) -> Tensor:
    side = config.preprocessing.side_px
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, config.preprocessing.frames, 3, side, side, generator=generator)


@torch.no_grad()
def largest_difference(network: Network, options: FormOptions) -> float:
    inference = network.reparameterize()
    given = clips(network.config).to(next(network.parameters()).dtype)
    tower = clip_tower(inference, options)
    return max(
        float((tower(clip) - vector).abs().max())
        for clip, vector in zip(given, fused_vectors(inference, given), strict=True)
    )


def fused_vectors(inference: Network, given: Tensor) -> Tensor:
    """What `encode_clips` gives, in the dtype of the clips."""
    fused = inference.fuse()
    tower = fused.vision_encoder if hasattr(fused, "vision_encoder") else fused.image_encoder
    frames = tower(given.flatten(0, 1)).unflatten(0, given.shape[:2])
    return nn.functional.normalize(frames.mean(1), dim=-1)


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("name", CONFIGS_ALONG_TIME)
def test_every_part_along_time_is_the_same(name: str, options: FormOptions) -> None:
    assert largest_difference(seeded(CONFIGS_ALONG_TIME[name]), options) <= MOST


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_the_bundled_model_is_the_same(options: FormOptions) -> None:
    network = load_network(open_folder(BUNDLED_DIR / "mobileviclip-nano"), "train")
    assert largest_difference(network, options) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobileviclip-tiny", "mobileviclip-small"])
def test_the_published_sizes_are_the_same(name: str) -> None:
    """All blocks and widths, on small pictures, in float64: what float32 rounds away over sixty blocks is no fault."""
    config = CONFIGS[name]
    network = seeded(replace(config, text=TEXT, preprocessing=replace(config.preprocessing, side_px=32))).double()
    assert largest_difference(network, FormOptions("shifted", "split")) <= EXACT
    assert largest_difference(network, FormOptions("convolution", "grouped")) <= EXACT


@pytest.mark.parametrize("text", [TEXT, TEXT_MCT, TEXT_PRUNED], ids=["transformer", "mct", "pruned-and-cut"])
def test_the_text_tower_is_the_same(text: TextConfig) -> None:
    network = seeded(small_config("mobileviclip-tiny", text))
    inference, ids = network.reparameterize(), tokenize(TEXTS)
    with torch.no_grad():
        expected = network.encode_text(ids)
        tower = text_tower(inference)
        for (rows, end), vector in zip(text_inputs(inference.text_encoder, ids), expected, strict=True):
            got = tower(torch.from_numpy(rows), torch.from_numpy(end))
            assert float((got[0] - vector).abs().max()) <= MOST


def test_no_tensor_has_more_than_four_axes_and_no_size_is_read() -> None:
    """What converters stumble over, in the graph that torch.export makes of the form."""
    network = seeded(small_config("mobileviclip-tiny")).reparameterize()
    for options in WAYS[:2]:
        tower = clip_tower(network, options)
        program = torch.export.export(tower, (clips(network.config)[0],))
        shapes = [node.meta["val"].shape for node in program.graph.nodes if hasattr(node.meta.get("val"), "shape")]
        assert max(map(len, shapes)) == 4
        kinds = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        assert not {kind for kind in kinds if "sym_size" in kind or "copy" in kind or "scatter" in kind}
