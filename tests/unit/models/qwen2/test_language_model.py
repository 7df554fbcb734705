"""The Qwen2 decoder against its definition, and its short ways (cache, one position, one step) against the long one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.mobilevideogpt.parts import LanguageModel

CONFIG = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
}
IDS = torch.tensor([[3, 41, 7, 7, 19, 0, 22, 8, 35, 11]])


def language_model(**changes: object) -> LanguageModel:
    torch.manual_seed(0)
    network = LanguageModel(**{**CONFIG, **changes}).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture
def network() -> LanguageModel:
    return language_model()


def plain_logits(network: LanguageModel, ids: Tensor) -> Tensor:
    """Qwen2 written out: complex rotations, a loop over heads, a mask of minus infinity."""

    def rms(x: Tensor, weight: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight

    length, size = len(ids), 8
    angle = torch.outer(torch.arange(length).double(), 10000.0 ** (-torch.arange(0, size, 2).double() / size))
    turn = torch.polar(torch.ones_like(angle), angle)  # (L, h / 2)

    def rotated(head: Tensor) -> Tensor:
        turned = torch.complex(head[:, : size // 2], head[:, size // 2 :]) * turn
        return torch.cat((turned.real, turned.imag), dim=-1)

    future = torch.full((length, length), float("-inf"), dtype=torch.float64).triu(1)
    x = network.model.embed_tokens.weight[ids]
    for layer in network.model.layers:
        y, attention = rms(x, layer.input_layernorm.weight), layer.self_attn
        q, k, v = (getattr(attention, f"{name}_proj")(y).split(size, dim=-1) for name in "qkv")
        heads = []
        for number, query in enumerate(q):
            shared = number // 2  # four query heads over two heads of keys and values
            weights = torch.softmax(rotated(query) @ rotated(k[shared]).T / size**0.5 + future, dim=-1)
            heads.append(weights @ v[shared])
        x = x + attention.o_proj(torch.cat(heads, dim=-1))
        y = rms(x, layer.post_attention_layernorm.weight)
        gate = layer.mlp.gate_proj(y)
        x = x + layer.mlp.down_proj(gate * torch.sigmoid(gate) * layer.mlp.up_proj(y))
    return rms(x, network.model.norm.weight) @ network.model.embed_tokens.weight.T


def test_logits_are_the_definitions(network: LanguageModel) -> None:
    torch.testing.assert_close(network(IDS)[0], plain_logits(network, IDS[0]))


@pytest.mark.parametrize("cuts", [[10], [1] * 10, [4, 6], [3, 1, 1, 5]])
def test_a_cache_changes_nothing(network: LanguageModel, cuts: list[int]) -> None:
    cache = network.new_cache()
    parts = [network(part, cache=cache) for part in IDS.split(cuts, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), network(IDS))
    assert cache.length == 10


def test_a_kept_prefix_answers_a_second_question(network: LanguageModel) -> None:
    cache = network.new_cache()
    network(IDS[:, :6], cache=cache)
    for question in (torch.tensor([[5, 6, 7]]), torch.tensor([[9]]), torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])):
        cache.crop(6)
        together = torch.cat((IDS[:, :6], question), dim=1)
        assert list(network.generate(question, cache=cache, max_new_tokens=5)) == list(
            network.generate(together, max_new_tokens=5)
        )
    with pytest.raises(ValueError, match="positions"):
        cache.crop(1000)


def test_the_head_runs_on_the_last_position_alone(network: LanguageModel) -> None:
    last = network(IDS, last_only=True)
    assert last.shape == (1, 1, 50)
    torch.testing.assert_close(last, network(IDS)[:, -1:])


def test_embeddings_stand_for_their_tokens(network: LanguageModel) -> None:
    torch.testing.assert_close(network(inputs_embeds=network.model.embed_tokens(IDS)), network(IDS))
    with pytest.raises(ValueError, match="one of the two"):
        network(IDS, inputs_embeds=network.model.embed_tokens(IDS))
    with pytest.raises(ValueError, match="one of the two"):
        network()


def greedy(network: LanguageModel, ids: Tensor, count: int, penalty: float = 1.0) -> list[int]:
    """Greedy decoding without a cache; the penalty acts on the tokens made here alone."""
    made: list[int] = []
    while len(made) < count:
        logits = network(torch.cat((ids, torch.tensor([made], dtype=torch.long)), dim=1))[0, -1].tolist()
        for token in set(made):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        made.append(logits.index(max(logits)))
    return made


def test_greedy_decoding(network: LanguageModel) -> None:
    assert list(network.generate(IDS, max_new_tokens=8)) == greedy(network, IDS, 8)
    assert list(network.generate(IDS, max_new_tokens=0)) == []


def test_a_stop_token_ends_the_answer_and_is_not_given(network: LanguageModel) -> None:
    plain = greedy(network, IDS, 8, penalty=1.5)
    stop = plain[3]
    cut = plain[: plain.index(stop)]
    assert list(network.generate(IDS, max_new_tokens=8, stop_ids={stop}, repetition_penalty=1.5)) == cut


def test_repetition_penalty_acts_on_new_tokens_alone(network: LanguageModel) -> None:
    penalised = greedy(network, IDS, 8, penalty=1.5)
    assert penalised != greedy(network, IDS, 8)
    assert list(network.generate(IDS, max_new_tokens=8, repetition_penalty=1.5)) == penalised


def test_an_untied_head_is_a_layer_of_its_own() -> None:
    network = language_model(tie_word_embeddings=False)
    expected = network.model(network.model.embed_tokens(IDS)) @ network.lm_head.weight.T
    torch.testing.assert_close(network(IDS), expected)


def test_a_file_may_store_the_tied_head_but_not_another_one(network: LanguageModel) -> None:
    state = network.state_dict()
    assert "lm_head.weight" not in state
    table = state["model.embed_tokens.weight"]
    fresh = language_model()
    fresh.load_state_dict({**state, "lm_head.weight": table.clone()}, strict=True)
    torch.testing.assert_close(fresh(IDS), network(IDS))
    with pytest.raises(ModelError, match="output head differs"):
        fresh.load_state_dict({**state, "lm_head.weight": table + 1}, strict=True)


def test_a_network_without_weights_takes_those_of_the_file_as_they_are(network: LanguageModel) -> None:
    with init_empty_weights():
        empty = LanguageModel(**CONFIG).eval()
    assert all(parameter.is_meta for parameter in empty.parameters())
    state = network.state_dict()
    empty.load_state_dict(state, strict=True)
    assert empty.model.norm.weight.data_ptr() == state["model.norm.weight"].data_ptr()
    torch.testing.assert_close(empty(IDS), network(IDS))


def test_a_network_with_weights_copies_those_of_the_file(network: LanguageModel) -> None:
    other = language_model()
    other.load_state_dict(network.state_dict(), strict=True)
    assert other.model.norm.weight.data_ptr() != network.model.norm.weight.data_ptr()


def test_bfloat16_stays_near(network: LanguageModel) -> None:
    expected = network(IDS)
    rounded = language_model().bfloat16()(IDS)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.double() - expected).abs().max() < 0.05 * expected.abs().max()


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="divide"):
        LanguageModel(**{**CONFIG, "num_key_value_heads": 3})
