"""The recipe's additions for Mobile-VideoGPT: weights, inputs and sampled outputs (`recipe.py`)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recipe import draw, shared_json
from torch import Tensor, nn

FOLDER = "parity/mobile_videogpt"


def vector(name: str) -> Any:
    """One vector file of Mobile-VideoGPT; skips where a plain clone does not have it."""
    return shared_json(f"{FOLDER}/{name}.json")


def weight(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """The float tensor of one key: the general rule, but what keeps a Mamba mixer stable, in both directions."""
    name = key.rsplit("mixer.", 1)[-1]
    if name not in {"A_log", "A_b_log", "D", "D_b", "dt_proj.bias", "dt_proj_b.bias"}:
        return draw(key, shape, seed)
    x = np.random.RandomState((zlib.crc32(key.encode()) ^ seed) & 0x7FFFFFFF).standard_normal(shape)
    if name.startswith("A"):
        return (np.log(np.arange(1, shape[-1] + 1)) + 0.05 * x).astype(np.float32)
    return (1 + 0.1 * x if name.startswith("D") else -4 + 0.5 * x).astype(np.float32)


def fill_videogpt(network: nn.Module, seed: int) -> None:
    """Give a component the recipe's weights; keys are relative to the component."""
    state = network.state_dict()
    filled = {key: torch.from_numpy(weight(key, tuple(old.shape), seed)) for key, old in state.items()}
    network.load_state_dict(filled, strict=True)


def check_weights(network: nn.Module, checks: Mapping[str, Any]) -> None:
    """Compare the network's weights with the check values of a vector file."""
    state = network.state_dict()
    for key, check in checks.items():
        tensor = state.get(key, state.get("model.embed_tokens.weight") if key == "lm_head.weight" else None)
        assert tensor is not None, key
        assert list(tensor.shape) == check["shape"], key
        torch.testing.assert_close(tensor.double().sum().item(), check["sum"], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(tensor.flatten()[:3].tolist(), check["first3"], rtol=1e-6, atol=1e-7)


def normal(seed: int, shape: list[int] | tuple[int, ...]) -> Tensor:
    """The input of a vector: standard normal, float32."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def assert_sampled(actual: Tensor, output: Mapping[str, Any], tolerance: Mapping[str, float]) -> None:
    """Compare shape, the 64 (or 48) sampled values, mean, std and norm of one output of a vector file."""
    assert list(actual.shape) == output["shape"]
    flat = actual.detach().double().flatten()
    expected = torch.tensor(output["value"], dtype=torch.float64)
    bounds = {"atol": tolerance["atol"], "rtol": tolerance.get("rtol", 0.0)}
    torch.testing.assert_close(flat[output["flat_index"]], expected, **bounds)
    for name, value in (("mean", flat.mean()), ("std", flat.std(correction=0)), ("abs_max", flat.abs().max())):
        torch.testing.assert_close(value.item(), output[name], **bounds)
    torch.testing.assert_close(flat.norm().item(), output["l2"], rtol=1e-4, atol=1e-4)
