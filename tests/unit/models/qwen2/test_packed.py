"""The packed language model against the plain one."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor

from vidsearch.models.qwen2 import linears
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.decoder import LanguageModel
from vidsearch.models.qwen2.linears import PlainLinear, WeightFormat, has_fbgemm, has_onednn
from vidsearch.models.qwen2.packed import Layouts, PackedLanguageModel, products

CONFIG = LanguageModelConfig(
    vocab_size=300,
    hidden_size=128,
    intermediate_size=320,
    num_hidden_layers=3,
    num_attention_heads=8,
    num_key_value_heads=2,
)


def networks(
    config: LanguageModelConfig, weights: WeightFormat, layouts: Layouts | None = None
) -> tuple[LanguageModel, PackedLanguageModel]:
    torch.manual_seed(1)
    plain = LanguageModel(**asdict(config)).eval()
    tensors = plain.state_dict()
    return plain, PackedLanguageModel(config, lambda names: {name: tensors[name] for name in names}, weights, layouts)


def inputs() -> list[Tensor]:
    """A prompt longer than what goes through an MLP at once, a question after it, and single tokens."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(1, length, CONFIG.hidden_size, generator=generator) for length in (560, 12, 1, 3, 1)]


# How far from the plain float32 network, by the largest logit: float32 sums in another order, bfloat16 keeps 8 bits,
# int8 rounds each weight to a 254th of its row's span besides.
@pytest.mark.parametrize(("weights", "tolerance"), [("float32", 2e-6), ("bfloat16", 2e-2), ("int8", 4e-2)])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bags", [True, False])
@torch.inference_mode()
def test_logits_are_those_of_the_plain_network(
    weights: WeightFormat, tolerance: float, tied: bool, bags: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bags and not has_fbgemm():
        pytest.skip("this torch has no fbgemm")
    monkeypatch.setattr(linears, "has_fbgemm", lambda: bags)
    plain, packed = networks(replace(CONFIG, tie_word_embeddings=tied), weights)
    cache, other = plain.new_cache(), KeyValueCache(CONFIG.num_hidden_layers, capacity=50)
    for embeddings in inputs():
        expected = plain(inputs_embeds=embeddings, cache=cache, last_only=True)[0, -1]
        given = packed(embeddings, other)
        assert given.dtype == torch.float32
        assert float((given - expected).abs().max() / expected.abs().max()) < tolerance
    assert other.length == cache.length == 577


@torch.inference_mode()
def test_layouts_that_were_chosen_are_used() -> None:
    config = replace(CONFIG, vocab_size=256)
    layouts: Layouts = dict.fromkeys(products(config), "plain")
    usual, chosen = (networks(config, "bfloat16", own)[1] for own in (None, layouts))
    assert chosen.bytes_read == usual.bytes_read
    layers = [linear for layer in chosen._layers for linear in layer.linears]
    assert {type(linear) for linear in [*layers, chosen._head]} == {PlainLinear}
    one, other = (
        packed(inputs()[0], KeyValueCache(config.num_hidden_layers, capacity=600)) for packed in (usual, chosen)
    )
    assert float((one - other).abs().max() / other.abs().max()) < 2e-2


@torch.inference_mode()
def test_a_cache_wound_back_gives_the_same_again() -> None:
    _, packed = networks(CONFIG, "float32")
    prompt, question, *_ = inputs()
    cache = KeyValueCache(CONFIG.num_hidden_layers)
    packed(prompt, cache)
    first = packed(question, cache)
    cache.crop(prompt.shape[1])
    assert torch.equal(packed(question, cache), first)


@pytest.mark.parametrize(("weights", "width"), [("float32", 4), ("bfloat16", 2), ("int8", 1)])
def test_what_a_token_reads_is_counted(weights: WeightFormat, width: int) -> None:
    c = CONFIG
    rows = c.hidden_size + 2 * c.num_key_value_heads * c.head_dim  # of queries, keys and values
    layer = c.hidden_size * (rows + c.hidden_size + 3 * c.intermediate_size)
    extra = 8 / 64 if weights == "int8" and has_fbgemm() else 0  # a scale and an offset for 64 weights; not in the head
    _, packed = networks(c, weights)
    assert packed.bytes_read == (width + extra) * c.num_hidden_layers * layer + width * c.vocab_size * c.hidden_size


def test_a_packed_model_keeps_no_tensor_of_the_file() -> None:
    """What it was given may change or go away."""
    torch.manual_seed(1)
    plain = LanguageModel(**asdict(CONFIG)).eval()
    tensors = plain.state_dict()
    packed = PackedLanguageModel(CONFIG, lambda names: {name: tensors[name] for name in names}, "float32")
    before = packed(inputs()[0], KeyValueCache(CONFIG.num_hidden_layers))
    for tensor in tensors.values():
        tensor.zero_()
    assert torch.equal(packed(inputs()[0], KeyValueCache(CONFIG.num_hidden_layers)), before)


def test_float32_is_blocked_wherever_onednn_is() -> None:
    assert has_onednn(torch.float32) == torch.backends.mkldnn.is_available()
