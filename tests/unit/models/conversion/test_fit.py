"""Files of any known layout become the whole state dict of our network, or are refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from seeded import SIDE_PX, TEXT_MCT, seeded, small_config
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import Checkpoint, Layout
from vidsearch.models.conversion.fit import Fitted, fit
from vidsearch.models.mobileviclip.config import CONFIGS, MobileViCLIPConfig
from vidsearch.models.mobileviclip.load import Network, empty_network, fill
from vidsearch.models.mobileviclip.model import MobileViCLIP

Tensors = dict[str, Tensor]
NAME = "mobileviclip-tiny"


@pytest.fixture(autouse=True)
def small_published_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published names with small networks: what is tested depends on names and shapes, not on the size."""
    for name in ("mobileclip-s0", "mobileviclip-tiny"):
        monkeypatch.setitem(CONFIGS, name, small_config(name, TEXT_MCT))


def checkpoint(tensors: Tensors, layout: Layout = "mobileviclip", name: str = "given.pt") -> Checkpoint:
    return Checkpoint(Path(name), layout, tensors)


def network_of(fitted: Fitted) -> Network:
    network = empty_network(fitted.config)
    fill(network, fitted.tensors, file="fitted")
    return network


@torch.no_grad()
def vectors(network: Network) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    if isinstance(network, MobileViCLIP):
        return network.encode_video(torch.rand(1, 8, 3, SIDE_PX, SIDE_PX, generator=generator))
    return network.encode_image(torch.rand(1, 3, SIDE_PX, SIDE_PX, generator=generator))


def same_vectors(fitted: Fitted, network: Network) -> bool:
    return torch.allclose(vectors(network_of(fitted)), vectors(network), rtol=0, atol=2e-6)


def foreign(state: Tensors) -> Tensors:
    """Our state dict with the temporal names and shapes of somebody else."""
    renamed: Tensors = {}
    for key, tensor in state.items():
        key = key.replace(".temporal.norm.", ".mix.0.").replace(".temporal.conv.", ".mix.1.")
        if key.endswith("mix.1.weight"):
            tensor = tensor[..., None, None]  # a Conv3d
        if key.endswith("temporal_embedding"):
            key, tensor = "vision_encoder.tpe", tensor[0].T[None, :, :, None]  # (1, C, T, 1)
        renamed[key] = tensor
    return renamed


# Clips


def test_foreign_temporal_names_and_shapes_give_the_same_vectors() -> None:
    network = seeded(CONFIGS[NAME])
    fitted = fit(NAME, [checkpoint(foreign(network.state_dict()))])
    assert same_vectors(fitted, network)
    assert fitted.notes == ()
    assert fitted.tensors.keys() == network.state_dict().keys()


def test_the_text_encoder_may_come_from_mobileclips_file() -> None:
    network, apple = seeded(CONFIGS[NAME]), seeded(CONFIGS["mobileclip-s0"], seed=1)
    vision = {key: tensor for key, tensor in network.state_dict().items() if not key.startswith("text_encoder.")}
    main, donor = checkpoint(vision), checkpoint(apple.state_dict(), "apple", "mobileclip_s0.pt")
    fitted = fit(NAME, [donor, main])
    assert fitted.files == (main.path, donor.path)
    assert same_vectors(fitted, network)
    key = "text_encoder.projection_layer"
    assert torch.equal(fitted.tensors[key], apple.state_dict()[key])


def test_a_missing_text_encoder_says_which_file_has_it() -> None:
    vision = {
        k: tensor for k, tensor in seeded(CONFIGS[NAME]).state_dict().items() if not k.startswith("text_encoder.")
    }
    with pytest.raises(ModelError, match=r"given\.pt has no text encoder; put mobileclip_s0\.pt.*into the same folder"):
        fit(NAME, [checkpoint(vision)])


@pytest.mark.parametrize("folded", [True, False])
def test_convolutions_without_norm_are_read_as_their_values_say(folded: bool) -> None:
    network = seeded(CONFIGS[NAME])
    state = network.state_dict()
    bare = {key: tensor.clone() for key, tensor in foreign(state).items() if ".mix.0." not in key}
    for key, tensor in state.items():
        if ".temporal.norm." in key:  # the network to compare with: its norms do nothing
            tensor.copy_(torch.ones_like(tensor) if key.endswith(("weight", "var")) else torch.zeros_like(tensor))
            if key.endswith("weight"):
                tensor.mul_(math.sqrt(1 + 1e-5))
    for key, kernel in bare.items():
        if key.endswith(".mix.1.weight"):
            kernel *= 0.1
            state[key.replace(".mix.1.", ".temporal.conv.")].copy_(kernel[..., 0, 0])
            kernel[:, 0, 1, 0, 0] += int(folded)  # X' = conv(X) carries the identity
    fitted = fit(NAME, [checkpoint(bare)])
    assert same_vectors(fitted, network)
    assert fitted.notes == (
        f"temporal convolutions without a norm, read as {'folded' if folded else 'plain, with a residual'}",
    )
    other = fit(NAME, [checkpoint(bare)], folded=not folded)
    assert not same_vectors(other, network)


def test_parts_that_the_file_lacks_do_nothing_and_are_reported() -> None:
    network = seeded(CONFIGS[NAME])
    state = network.state_dict()
    lacking = {k: t for k, t in foreign(state).items() if ".network.0.0.mix" not in k and k != "vision_encoder.tpe"}
    for key, tensor in state.items():
        if "network.0.0.temporal.conv" in key or key.endswith("temporal_embedding"):
            tensor.zero_()
    fitted = fit(NAME, [checkpoint(lacking)])
    assert same_vectors(fitted, network)
    assert len(fitted.notes) == 2
    assert isinstance(fitted.config, MobileViCLIPConfig)
    assert not fitted.config.temporal.tpe


def test_an_inference_form_gives_the_same_vectors() -> None:
    network = seeded(CONFIGS[NAME])
    state = {key: t for key, t in network.reparameterize().state_dict().items() if ".temporal." not in key}
    encoding = "vision_encoder.network.6"
    table = state.pop(f"{encoding}.reparam_conv.bias")  # (T, C): bias and position encoding in one
    state[f"{encoding}.reparam_conv.bias"] = network.state_dict()[f"{encoding}.pe.bias"]
    assert table.shape == (8, 64)
    temporal = {key: tensor for key, tensor in foreign(network.state_dict()).items() if ".mix." in key or "tpe" in key}
    fitted = fit(NAME, [checkpoint({**state, **temporal})])
    assert same_vectors(fitted, network)
    assert fitted.notes[0] == "read from the inference form; stored as an equal training form"


def test_half_precision_is_widened() -> None:
    state = {k: t.half() if t.is_floating_point() else t for k, t in seeded(CONFIGS[NAME]).state_dict().items()}
    fitted = fit(NAME, [checkpoint(foreign(state))])
    assert {tensor.dtype for tensor in fitted.tensors.values()} == {torch.float32, torch.int64}


# Pictures


def test_apples_file_is_taken_as_it_is() -> None:
    network = seeded(CONFIGS["mobileclip-s0"])
    assert same_vectors(fit("mobileclip-s0", [checkpoint(network.state_dict(), "apple")]), network)


def test_apples_folded_file_gives_the_same_vectors() -> None:
    network = seeded(CONFIGS["mobileclip-s0"])
    fitted = fit("mobileclip-s0", [checkpoint(network.reparameterize().state_dict(), "apple")])
    assert same_vectors(fitted, network)
    assert fitted.notes == ("read from the inference form; stored as an equal training form",)


@pytest.mark.parametrize(
    ("name", "layout", "described"),
    [("mobileviclip-tiny", "apple", "a MobileCLIP checkpoint"), ("mobileclip-s0", "mobileviclip", "a MobileViCLIP")],
)
def test_a_file_of_the_other_kind_is_refused(name: str, layout: Layout, described: str) -> None:
    with pytest.raises(ModelError, match=rf"given\.pt is not {name} but {described}"):
        fit(name, [checkpoint({}, layout)])


def test_a_file_with_a_changed_key_is_refused() -> None:
    state = seeded(CONFIGS["mobileclip-s0"]).state_dict()
    state["image_encoder.model.head.projection"] = state.pop("image_encoder.model.head.proj")
    with pytest.raises(ModelError) as caught:
        fit("mobileclip-s0", [checkpoint(state, "apple")])
    assert "missing: image_encoder.model.head.proj" in str(caught.value)
    assert "not of this network: image_encoder.model.head.projection" in str(caught.value)


def test_two_files_that_could_be_the_model_are_not_chosen_from() -> None:
    state = seeded(CONFIGS["mobileclip-s0"]).state_dict()
    with pytest.raises(ModelError, match=r"several files could be mobileclip-s0 \(a\.pt, b\.pt\)"):
        fit("mobileclip-s0", [checkpoint(state, "apple", "a.pt"), checkpoint(state, "apple", "b.pt")])
