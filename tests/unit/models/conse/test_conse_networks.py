"""EfficientNet-Lite2 and MiniLM as they are published: keys, shapes, and what each layer must keep."""

from __future__ import annotations

import copy
import hashlib
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from vidsearch.models.conse.efficientnet_lite import EXACT_BLOCKS, EfficientNetLite2, SameConv2d, fold_batch_norms_
from vidsearch.models.conse.minilm import MiniLM, embed_padded, without_unused
from vidsearch.models.deferred import init_empty_weights

# sha256 of the sorted lines "key shape dtype" of the published files: 386 tensors, and 101 that are used of 104.
CLASSIFIER_KEYS = "ea3685c002bca19bf19a1d69e301c66beeac5169c5a0c8671a19894792c2f199"
SENTENCE_KEYS = "cbd25c6ca942fc27e8b452646c5f1fb9f300babba8efafd637a131332be63ee7"


def digest(network: nn.Module) -> str:
    lines = sorted(f"{key} {list(tensor.shape)} {tensor.dtype}" for key, tensor in network.state_dict().items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def classifier() -> EfficientNetLite2:
    torch.manual_seed(0)
    network = EfficientNetLite2().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # fresh ones do nothing, so that a fold could not be wrong
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.5, 0.5)
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return network


@cache
def sentences() -> MiniLM:
    torch.manual_seed(0)
    return MiniLM().eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("kind", "published"), [(EfficientNetLite2, CLASSIFIER_KEYS), (MiniLM, SENTENCE_KEYS)], ids=["classifier", "minilm"]
)
def test_keys_are_those_of_the_published_file(kind: type[nn.Module], published: str) -> None:
    with init_empty_weights():
        assert digest(kind()) == published


def test_of_the_published_sentence_encoder_the_pooler_and_the_row_of_positions_are_left_out() -> None:
    there = {
        "pooler.dense.weight": torch.zeros(1),
        "embeddings.position_ids": torch.zeros(1),
        "encoder.x": torch.ones(1),
    }
    assert list(without_unused(there)) == ["encoder.x"]


def test_pixels_and_first_blocks_are_not_rounded_to_bfloat16() -> None:
    """What comes out of them is that of the exact network, rounded once."""
    rounded = copy.deepcopy(classifier())
    rounded.round_(torch.bfloat16)
    pictures = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen: list[Tensor] = []
    for network in (classifier(), rounded):
        hook = network._blocks[EXACT_BLOCKS].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        scores = network(pictures)
        hook.remove()
    assert seen[1].dtype == scores.dtype == torch.bfloat16
    assert torch.equal(seen[0].bfloat16(), seen[1])


@pytest.mark.parametrize(("size", "kernel", "stride", "above", "below"), [
    (260, 3, 2, 0, 1), (65, 5, 2, 2, 2), (130, 5, 2, 1, 2), (33, 3, 1, 1, 1), (17, 5, 1, 2, 2),
])  # fmt: skip
def test_margins_are_those_of_tensorflow(size: int, kernel: int, stride: int, above: int, below: int) -> None:
    """With ones everywhere, each output counts the taps that lie on the picture."""
    conv = SameConv2d(1, 1, kernel, stride=stride, bias=False).requires_grad_(False)
    nn.init.ones_(conv.weight)
    taps = conv(torch.ones(1, 1, size, size))[0, 0].sqrt().diagonal()
    assert len(taps) == -(-size // stride)
    assert (kernel - float(taps[0]), kernel - float(taps[-1])) == pytest.approx((above, below), abs=1e-5)


def test_folded_batch_norms_give_the_same_scores() -> None:
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    network = classifier()
    expected = network(pictures)
    folded = EfficientNetLite2().eval().requires_grad_(False)
    folded.load_state_dict(network.state_dict())
    fold_batch_norms_(folded)
    assert expected.shape == (1, 1000)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    # float32 sums in another order; scores are about 1e-2 to 1
    torch.testing.assert_close(folded(pictures), expected, rtol=1e-4, atol=1e-5)


def test_a_sentence_has_the_same_vector_alone_and_beside_a_longer_one() -> None:
    short, long = [101, 1037, 3899, 102], [101, *range(2000, 2030), 102]
    together = embed_padded(sentences(), [short, long])
    alone = embed_padded(sentences(), [short])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2), rtol=0, atol=1e-6)
    assert float(together[0] @ together[1]) < 0.99


def test_the_order_of_words_counts() -> None:
    there, back = embed_padded(sentences(), [[101, 5, 6, 7, 102], [101, 7, 6, 5, 102]])
    assert float(there @ back) < 0.9999


def test_attention_leaves_padding_out() -> None:
    """What stands where the mask is 0 changes nothing."""
    mask = torch.tensor([[1, 1, 1, 0, 0]])

    def vector(filler: int) -> Tensor:
        found: Tensor = sentences()(torch.tensor([[101, 3899, 102, filler, filler]]), mask)
        return found

    torch.testing.assert_close(vector(0), vector(9999), rtol=0, atol=1e-6)
