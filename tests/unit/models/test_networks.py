"""Building networks by name, and the text tower's ways with ids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vidsearch.errors import ModelError
from vidsearch.models.load import build
from vidsearch.models.mobileviclip.blocks import ConvNorm
from vidsearch.models.mobileviclip.config import CONFIGS, MobileViCLIPConfig, TextConfig
from vidsearch.models.mobileviclip.load import build_from
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.models.mobileviclip.text_encoder import TextEncoder, cut
from vidsearch.models.mobileviclip.tokenizer import tokenize

SMALL_TEXT = TextConfig(width=32, heads=2, ffn_width=64, layers=1, conv_blocks=1, vocabulary_rows=49408)


def nano() -> MobileViCLIP:
    network = build("mobileviclip-nano")
    assert isinstance(network, MobileViCLIP)
    return network


def text_encoder(config: TextConfig) -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(config, embed_dim=8).eval()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no model is called 'mobileclip-s9'; choose one of .*mobileclip-s2"):
        build("mobileclip-s9")


def test_a_built_network_evaluates_and_can_be_trained() -> None:
    network = nano()
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.temp.item() == pytest.approx(0.01)


def test_one_step_of_training_reaches_every_parameter() -> None:
    network = nano().train()
    network.text_encoder.embedding_row.copy_(torch.arange(49408) % network.config.text.vocabulary_rows)
    for name, parameter in network.named_parameters():
        if name.endswith("temporal.conv.weight"):
            torch.nn.init.normal_(parameter)  # it starts at zero, which holds back the norm before it for one step
    ids = tokenize(["a red ball moves left", "a blue square grows"])
    with torch.autocast("cpu", torch.bfloat16):
        videos = network.encode_video(torch.randn(2, 8, 3, 64, 64))
        logits = videos @ network.encode_text(ids).T / network.temp
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(2))
    loss.backward()
    silent = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert silent == []


def test_ids_may_be_numpy_or_torch() -> None:
    network = nano()
    ids = tokenize(["a dog"])
    with torch.no_grad():
        assert torch.equal(network.encode_text(ids), network.encode_text(torch.from_numpy(ids)))


def test_a_short_context_cuts_rows_and_keeps_their_end() -> None:
    ids = torch.from_numpy(tokenize(["dog", "dog " * 10]))
    rows = cut(ids, 6)
    assert rows[0].tolist() == [49406, 1929, 49407, 0, 0, 0]
    assert rows[1].tolist() == [49406, 1929, 1929, 1929, 1929, 49407]


def test_the_padded_tail_is_seen_as_in_apples_encoder() -> None:
    encoder = text_encoder(SMALL_TEXT)
    ids = torch.from_numpy(tokenize(["a dog"]))
    other = ids.clone()
    other[0, -1] = 320
    with torch.no_grad():
        assert (encoder(ids) - encoder(other)).abs().max() > 1e-5


def test_a_pruned_table_gives_the_vectors_of_the_full_one() -> None:
    full = text_encoder(SMALL_TEXT)
    ids = torch.from_numpy(tokenize(["a dog runs", "a cat sleeps"]))
    kept = ids.unique()
    pruned = text_encoder(replace(SMALL_TEXT, vocabulary_rows=len(kept) + 1))
    weights = {key: tensor for key, tensor in full.state_dict().items() if key != "embedding_layer.weight"}
    rows = torch.zeros(49408, dtype=torch.int64)
    rows[kept] = torch.arange(1, len(kept) + 1)
    table = torch.cat([torch.zeros(1, 32), full.embedding_layer.weight.detach()[kept]])
    pruned.load_state_dict({**weights, "embedding_row": rows, "embedding_layer.weight": table})
    with torch.no_grad():
        torch.testing.assert_close(pruned(ids), full(ids), rtol=0, atol=0)
        unknown = torch.from_numpy(tokenize(["a zebra runs", "a tiger runs"]))
        assert torch.equal(*pruned(unknown))  # both have one word that is not in the table


def test_the_text_tower_keeps_its_accuracy_in_half_precision() -> None:
    encoder = text_encoder(SMALL_TEXT)
    ids = torch.from_numpy(tokenize(["a dog runs on the beach"]))
    with torch.no_grad():
        exact, half = encoder(ids), encoder.to(torch.bfloat16)(ids)
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(exact, half.float()).item() > 0.999


def test_a_network_of_ones_own_size_needs_only_a_config() -> None:
    config = CONFIGS["mobileviclip-nano"]
    assert isinstance(config, MobileViCLIPConfig)
    network = build_from(replace(config, embed_dim=10))
    assert network.encode_text(np.zeros((1, 77), np.int64)).shape == (1, 10)


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        image, text = (
            sum(parameter.numel() for parameter in tower.parameters())
            for tower in (build("mobileclip-s0").image_encoder, build("mobileclip-s0").text_encoder)
        )
    assert (image, text) == (11_406_464, 42_441_216)


def test_a_strided_branch_of_one_pixel_has_the_gradient_of_the_convolution() -> None:
    """In torch 2.13 the convolution's own gradient crashed here, in channels last with three input channels."""
    torch.manual_seed(0)
    branch = ConvNorm(3, 24, (1, 1), stride=2).to(memory_format=torch.channels_last).eval()
    pixels = torch.randn(32, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    for _ in range(8):
        branch.zero_grad()
        out = branch(pixels)
        out.square().sum().backward()
    plain = torch.nn.Conv2d(3, 24, 1, 2, bias=False).double()
    plain.load_state_dict({"weight": branch.conv.weight})
    expected = plain(pixels.double()) / (1 + branch.bn.eps) ** 0.5
    expected.square().sum().backward()
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(branch.conv.weight.grad.double(), plain.weight.grad, rtol=1e-4, atol=1e-2)
