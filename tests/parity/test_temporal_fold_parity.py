"""The folds of MobileViCLIP's temporal parts, float64, against small stored vectors; stated tolerance 1e-10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from recipe import shared_arrays
from torch import Tensor, nn

from vidsearch.models.mobileviclip.fold import fold_position_encoding, fold_temporal
from vidsearch.models.mobileviclip.image_encoder import PositionEncoding
from vidsearch.models.mobileviclip.temporal import TemporalMixer

CHANNELS, FRAMES = 6, 8


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def stored() -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(array) for name, array in shared_arrays("parity/mobileclip/temporal_fold.npz").items()
    }


def mixer(stored: dict[str, Tensor], kernel: int) -> TemporalMixer:
    network = TemporalMixer(CHANNELS, FRAMES, kernel, bias=True).double().eval()
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    weights = {name: stored[f"k{kernel}_{name.replace('.', '_', 1)}"] for name in names}
    network.load_state_dict({**network.state_dict(), **weights})
    return network


@pytest.mark.parametrize("kernel", [3, 5])
def test_temporal_convolution_and_its_fold(stored: dict[str, Tensor], kernel: int) -> None:
    train = mixer(stored, kernel)
    folded = fold_temporal(train)
    x, y = stored[f"k{kernel}_x"], stored[f"k{kernel}_y"]
    exact(over_clips(train, x), y)
    exact(over_clips(folded, x), y)
    exact(folded.reparam_conv.weight[:, 0], stored[f"k{kernel}_folded_kernel"])
    exact(folded.reparam_conv.bias, stored[f"k{kernel}_folded_bias_table"])


@pytest.mark.parametrize("kernel", [3, 5])
def test_one_bias_for_all_frames_is_wrong_at_the_border_only(stored: dict[str, Tensor], kernel: int) -> None:
    folded = fold_temporal(mixer(stored, kernel))
    right = over_clips(folded, stored[f"k{kernel}_x"])
    folded.reparam_conv.bias.copy_(folded.reparam_conv.bias[FRAMES // 2].expand(FRAMES, -1))
    naive = over_clips(folded, stored[f"k{kernel}_x"])
    exact(naive, stored[f"k{kernel}_y_naive"])
    inner = slice(kernel // 2, FRAMES - kernel // 2)
    exact(naive[:, inner], right[:, inner])
    wrong = (naive - right).abs().amax((0, 2, 3, 4))
    assert (wrong[: kernel // 2] > 1e-3).all() and (wrong[-(kernel // 2) :] > 1e-3).all()


@pytest.mark.parametrize("place", ["after", "before"])
def test_position_encodings_and_their_fold(stored: dict[str, Tensor], place: str) -> None:
    train = PositionEncoding(CHANNELS, 7, FRAMES, place).double().eval()
    train.load_state_dict(
        {"pe.weight": stored["cpe_weight"], "pe.bias": stored["cpe_bias"], "temporal_embedding": stored["tpe"]}
    )
    folded = fold_position_encoding(train)
    for network in (train, folded):
        exact(over_clips(network, stored["cpe_x"]), stored[f"y_tpe_{place}_cpe"])
    exact(folded.reparam_conv.weight, stored["folded_cpe_kernel"])
    response = over_clips(folded, torch.zeros_like(stored["cpe_x"]))[0]  # the bias, wherever it is kept
    table = stored["bias_table_after"][..., None, None] if place == "after" else stored["bias_map_before"]
    exact(response, table.expand_as(response))


def over_clips(network: nn.Module, clips: Tensor) -> Tensor:
    """(B, T, C, H, W) through a part that takes frames in the batch axis."""
    return network(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])


def exact(actual: Tensor, wanted: Tensor | NDArray[Any]) -> None:
    np.testing.assert_allclose(actual.numpy(), wanted, rtol=0, atol=1e-10)
