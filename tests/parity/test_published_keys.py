"""Names, shapes and dtypes of `state_dict()`: those of the published checkpoints, in both of their forms."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
import torch
from recipe import shared_json

from vidsearch.models.load import build

# sha256 of the sorted lines "key shape dtype" of the published lists, for a clone that has no list.
DIGESTS = {
    "s0_train": "26204873225e3a5523516885d9b3a6b50064ec1c0247ebef740166610d7969c0",
    "s0_inference": "409b129a2f023d0004fa760cb83deca5eb01e8e07b4f4f15d3fa887a6199aef6",
    "s2_train": "cb35881ca36a7b5a7c1f438b6c91d83405e62ed60076210679be2a1e999eea4e",
    "s2_inference": "ba3a0b1ae6ad37bed0b93c4ddd748879185ba5e4838d84216a7d99f783d18007",
}
FORMS = list(DIGESTS)
Keys = dict[str, tuple[list[int], str]]


@cache
def keys_of(size: str, form: str, name: str = "mobileclip") -> Keys:
    with torch.device("meta"):  # shapes alone
        network = build(f"{name}-{size}")
        network = network if form == "train" else network.reparameterize()
    return {
        key: (list(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for key, tensor in network.state_dict().items()
    }


def digest(keys: Keys) -> str:
    lines = sorted(f"{key} {shape} {dtype}" for key, (shape, dtype) in keys.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("form", FORMS)
def test_keys_have_the_stored_digest(form: str) -> None:
    assert digest(keys_of(*form.split("_"))) == DIGESTS[form]


@pytest.mark.parametrize("form", FORMS)
def test_keys_are_the_published_list(form: str) -> None:
    published = {key: (shape, dtype) for key, (shape, dtype) in shared_json("spec/mobileclip_keys.json")[form].items()}
    assert keys_of(*form.split("_")) == published


@pytest.mark.parametrize(("size", "base", "blocks"), [("tiny", "s0", 18), ("small", "s2", 40)])
def test_video_keys_are_the_image_keys_and_the_temporal_ones(size: str, base: str, blocks: int) -> None:
    image = keys_of(base, "train")
    video = keys_of(size, "train", "mobileviclip")
    renamed = {key.replace("image_encoder.model.", "vision_encoder."): kind for key, kind in image.items()}
    del renamed["logit_scale"]
    extra = {key: kind for key, kind in video.items() if key not in renamed}
    assert renamed == {key: kind for key, kind in video.items() if key in renamed}
    assert extra.pop("temp") == ([], "float32")
    width = image["image_encoder.model.network.6.pe.bias"][0][0]
    assert extra.pop("vision_encoder.network.6.temporal_embedding") == ([1, 8, width], "float32")
    parts = {key.split(".temporal.")[1] for key in extra}
    assert parts == {
        *("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"),
        *("conv.weight", "conv.bias"),
    }
    assert len(extra) == blocks * len(parts)


def test_a_folded_video_network_keeps_the_names_of_folded_checkpoints() -> None:
    image = keys_of("s0", "inference")
    video = keys_of("tiny", "inference", "mobileviclip")
    renamed = {key.replace("image_encoder.model.", "vision_encoder.") for key in image} - {"logit_scale"}
    extra = {key.split(".temporal.")[1] for key in set(video) - renamed - {"temp"}}
    assert renamed < set(video)
    assert extra == {"reparam_conv.weight", "reparam_conv.bias"}
