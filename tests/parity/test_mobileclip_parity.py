"""MobileCLIP S0 and S2 against Apple's public code: recipe weights, every form of the networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from recipe import fill, noise, shared_arrays, shared_json, waves
from stages import assert_stage, run_with_stages
from torch import Tensor

from vidsearch.models.load import build
from vidsearch.models.mobileviclip.model import MobileCLIP

pytestmark = pytest.mark.timeout(1200)  # seconds on a free machine; the large networks crawl on a busy one

# Stated beside the vectors, absolute, float32. A wrong detail costs 4e-4 or more.
IMAGE, TEXT, NORMALISED = 1e-5, 2e-5, 1e-6
FORMS = ["train", "inference", "fused"]


@dataclass
class Published:
    details: Any
    vectors: dict[str, NDArray[Any]]
    train: MobileCLIP


@pytest.fixture(scope="module", params=["s0", "s2"])
def published(request: pytest.FixtureRequest) -> Published:
    details = shared_json(f"parity/mobileclip/{request.param}.json")
    network = build(f"mobileclip-{request.param}")
    assert isinstance(network, MobileCLIP)
    fill(network, details["weight_seed"])
    return Published(details, shared_arrays(f"parity/mobileclip/{request.param}.npz"), network)


@pytest.fixture(scope="module", params=FORMS)
def network(request: pytest.FixtureRequest, published: Published) -> MobileCLIP:
    forms = {"train": lambda net: net, "inference": MobileCLIP.reparameterize, "fused": MobileCLIP.fuse}
    return forms[request.param](published.train)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def test_image_vectors_and_stages(published: Published, network: MobileCLIP) -> None:
    inputs = published.details["inputs"]
    images = torch.cat([noise(inputs["noise"]["seed"]), waves(inputs["waves"]["seed"], 2, 1)[:, 0]])
    names = list(inputs["noise"]["stages"])
    vectors, seen = run_with_stages(
        network.image_encoder.model, names, lambda: network.encode_image(images, normalize=False)
    )
    for kind, rows in {"noise": slice(0, 2), "waves": slice(2, 4)}.items():
        for name in names:
            assert_stage(seen[name][rows], inputs[kind]["stages"][name], f"{kind} {name}")
        for suffix in ("", "_reparam", "_fp64"):
            near(vectors[rows], published.vectors[f"{kind}_embedding{suffix}"], IMAGE)


def test_text_vectors_and_stages(published: Published, network: MobileCLIP) -> None:
    stages = published.details["text"]["stages"]
    ids = published.vectors["text_ids"].astype(np.int64)
    places = {name: "positional_embedding" if name == "embedding" else name for name in stages}
    vectors, seen = run_with_stages(
        network.text_encoder, list(places.values()), lambda: network.encode_text(ids, normalize=False)
    )
    for name, place in places.items():
        assert_stage(seen[place], stages[name], name)
    near(vectors, published.vectors["text_embedding"], TEXT)
    near(vectors, published.vectors["text_embedding_reparam"], TEXT)


def test_unit_vectors_and_logits(published: Published) -> None:
    network, expected = published.train, published.vectors
    images = network.encode_image(waves(published.details["inputs"]["waves"]["seed"], 2, 1)[:, 0])
    texts = network.encode_text(expected["text_ids"].astype(np.int64))
    near(images, expected["waves_embedding_normalized"], NORMALISED)
    near(texts, expected["text_embedding_normalized"], NORMALISED)
    scale = network.logit_scale.exp().clamp(0, 100)
    assert scale.item() == pytest.approx(published.details["exp_logit_scale_clamped"], abs=1e-5)
    near(scale * images @ texts.T, expected["logits_per_image_waves"], 2 * 100 / 7 * NORMALISED)


def near(actual: Tensor, expected: NDArray[Any], allowed: float) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=allowed)
