"""A step of fixed shapes against the plain one: on a CPU the eager form, on CUDA the captured graph as well."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.decode_step import DecodeStep, GraphedStep, step_for
from vidsearch.models.qwen2.decoder import LanguageModel
from vidsearch.models.qwen2.joined_layers import join_layers
from vidsearch.models.qwen2.sampler import Sampler

CONFIG = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 10000.0,
    "max_position_embeddings": 256,
}
PROMPT = torch.tensor([[5, 41, 7, 7, 19, 0, 22]])
TOKENS = [3, 50, 50, 8, 11, 2]
CUDA = pytest.param(
    (GraphedStep, "cuda"), marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
)
Steps = tuple[Callable[..., DecodeStep], str]


def language_model(device: str = "cpu", **changes: object) -> LanguageModel:
    torch.manual_seed(0)
    network = LanguageModel(**{**CONFIG, **changes}).eval().to(device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def prompted(network: LanguageModel, capacity: int) -> KeyValueCache:
    """A cache that holds the prompt; the rest of its memory is not a number."""
    cache = KeyValueCache(CONFIG["num_hidden_layers"], capacity)
    network(PROMPT.to(next(network.parameters()).device), cache=cache)
    for memory in cache.memory:
        memory[:, :, :, cache.length :] = float("nan")
    return cache


@pytest.mark.parametrize("steps", [(DecodeStep, "cpu"), CUDA])
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_logits_are_those_of_the_plain_step(steps: Steps, tied: bool) -> None:
    make, device = steps
    network = language_model(device, tie_word_embeddings=tied)
    cache, plain = prompted(network, 20), network.new_cache()
    network(PROMPT.to(device), cache=plain)
    step = make(network, join_layers(network), cache)
    for token in TOKENS:
        expected = network.next_logits(token, plain)
        torch.testing.assert_close(step(token, cache.length), expected, atol=1e-5, rtol=1e-4)
        cache.advance(1)


@pytest.mark.parametrize("steps", [(DecodeStep, "cpu"), CUDA])
@torch.inference_mode()
def test_positions_that_were_forgotten_are_not_seen(steps: Steps) -> None:
    make, device = steps
    network = language_model(device)
    cache = prompted(network, 20)
    step = make(network, join_layers(network), cache)
    first = [step(token, len(PROMPT[0]) + n).clone() for n, token in enumerate(TOKENS)]
    again = [step(token, len(PROMPT[0]) + n).clone() for n, token in enumerate(TOKENS)]  # as after `crop`
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("steps", [(DecodeStep, "cpu"), CUDA])
@pytest.mark.parametrize("penalty", [1.0, 1.5])
@torch.inference_mode()
def test_the_tokens_it_chooses_are_those_of_the_sampler(steps: Steps, penalty: float) -> None:
    make, device = steps
    network = language_model(device, tie_word_embeddings=False)
    cache, plain = prompted(network, 40), network.new_cache()
    logits = network(PROMPT.to(device), cache=plain)[0, -1]
    step = make(network, join_layers(network), cache)
    for _ in range(2):  # an answer after another one
        sampler, expected, given = Sampler(repetition_penalty=penalty), [], logits
        for _ in range(12):
            expected.append(sampler(given))
            given = network.next_logits(expected[-1], plain)
        plain.crop(len(PROMPT[0]))
        got = [step.begin(logits, cache.length, penalty)]
        reads = [step.advance() for _ in range(11)]  # started before the token of the step before was looked at
        assert [*got, *(read() for read in reads)] == expected
        assert len(set(expected)) > 2


@torch.inference_mode()
def test_joined_layers_are_the_networks_own_memory() -> None:
    network = language_model()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layers = join_layers(network)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    layers[1].qkv.zero_()
    layers[2].gate_up.zero_()
    assert not network.model.layers[1].self_attn.k_proj.weight.any()
    assert not network.model.layers[2].mlp.up_proj.weight.any()


@torch.inference_mode()
def test_it_writes_what_a_plain_step_writes() -> None:
    network = language_model()
    cache, plain = prompted(network, 20), network.new_cache()
    network(PROMPT, cache=plain)
    DecodeStep(network, join_layers(network), cache)(9, cache.length)
    cache.advance(1)
    network.next_logits(9, plain)
    for one, other in zip(cache.memory, plain.memory, strict=True):
        torch.testing.assert_close(one[:, :, :, : cache.length], other[:, :, :, : plain.length], atol=1e-6, rtol=1e-5)


@torch.inference_mode()
def test_a_step_belongs_to_the_memory_of_one_cache() -> None:
    network = language_model()
    cache = prompted(network, 8)
    step = step_for(network, join_layers(network), cache)
    assert type(step) is DecodeStep and step.fits(cache)
    assert not step.fits(prompted(network, 8))
    cache.reserve(8)
    assert step.fits(cache)
    before = [memory[:, :, :, : cache.length].clone() for memory in cache.memory]
    cache.reserve(9)
    assert not step.fits(cache) and cache.memory[0].shape[3] == 16
    assert all(
        torch.equal(memory[:, :, :, : cache.length], old) for memory, old in zip(cache.memory, before, strict=True)
    )
    with pytest.raises(ValueError, match="no memory yet"):
        KeyValueCache(2).reserve(4)
