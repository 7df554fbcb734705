"""A prompt through the joined layers gives what the network gives, and leaves the same keys and values."""

from __future__ import annotations

import pytest
import torch

from vidsearch.models.qwen2 import joined_prompt
from vidsearch.models.qwen2.decoder import LanguageModel
from vidsearch.models.qwen2.joined_layers import join_layers
from vidsearch.models.qwen2.joined_prompt import prompt_logits

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_a_prompt_and_what_follows_it(device: str, tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_prompt, "_ROWS", 4)  # the second piece attends to the cache in three parts
    torch.manual_seed(0)
    network = LanguageModel(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_theta=10000.0,
        tie_word_embeddings=tied,
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.to(device)
    layers, cache, plain = join_layers(network), network.new_cache(), network.new_cache()
    for length in (7, 9, 1):
        embeddings = torch.randn(1, length, 32).to(device)
        before = embeddings.clone()
        got = prompt_logits(network, layers, embeddings, cache)
        torch.testing.assert_close(got, network.logits(embeddings, plain), atol=1e-5, rtol=1e-4)
        assert torch.equal(embeddings, before)
    assert cache.length == plain.length == 17
    for one, other in zip(cache.memory, plain.memory, strict=True):
        torch.testing.assert_close(one[:, :, :, :17], other[:, :, :, :17], atol=1e-6, rtol=1e-5)
