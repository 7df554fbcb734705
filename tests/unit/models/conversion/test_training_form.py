"""An inference form turned into a training form computes the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from seeded import SIDE_PX, TEXT, TEXT_MCT, seeded, small_config

from vidsearch.models.conversion.fit import network_shapes
from vidsearch.models.conversion.training_form import folded_keys, to_training_form
from vidsearch.models.mobileviclip.config import MobileViCLIPConfig, TemporalConfig, TextConfig
from vidsearch.models.mobileviclip.load import empty_network, fill
from vidsearch.models.mobileviclip.tokenizer import tokenize


@pytest.mark.parametrize("text", [TEXT, TEXT_MCT], ids=["transformer", "mct"])
def test_folded_keys_are_those_of_the_fold(text: TextConfig) -> None:
    config = small_config("mobileclip-s0", text)
    folded = seeded(config).reparameterize().state_dict()
    assert folded_keys(network_shapes(config)) == {key: tuple(tensor.shape) for key, tensor in folded.items()}


@torch.no_grad()
def test_unfolding_keeps_every_vector() -> None:
    config = small_config("mobileclip-s0", TEXT_MCT)
    network = seeded(config)
    wanted = network_shapes(config)
    unfolded = empty_network(config)
    fill(unfolded, to_training_form(network.reparameterize().state_dict(), wanted), file="the unfolded state dict")
    pictures = torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    ids = tokenize(["a red circle", ""])
    # float32 sums in another order, on vectors of unit length
    torch.testing.assert_close(unfolded.encode_image(pictures), network.encode_image(pictures), rtol=0, atol=2e-6)
    torch.testing.assert_close(unfolded.encode_text(ids), network.encode_text(ids), rtol=0, atol=2e-6)


def test_unfolding_does_not_change_what_it_is_given() -> None:
    config = small_config("mobileclip-s2")
    state = {key: tensor.double() for key, tensor in seeded(config).reparameterize().state_dict().items()}
    before = {key: tensor.clone() for key, tensor in state.items()}
    to_training_form(state, network_shapes(config))
    assert all(torch.equal(state[key], before[key]) for key in state)


def test_a_network_with_time_is_folded_outside_its_temporal_parts() -> None:
    config = small_config("mobileviclip-tiny")
    assert isinstance(config, MobileViCLIPConfig)
    without = replace(config, temporal=TemporalConfig(repmixer=False, joint_attention=False, tpe=False))
    temporal = {key for key in network_shapes(config) if "temporal" in key}
    assert set(folded_keys(network_shapes(config))) - temporal == set(folded_keys(network_shapes(without)))
