"""A file in the inference form, branches already summed → the training form that computes the same.

Apple's fold sums the branches of a block into one convolution (docs/networks.md). The branches cannot be told
apart again, but a training form that is equal in what it computes can: the folded kernel as the k × k branch behind a
batch norm that changes nothing, all other branches silent. So one layout is stored and every form is derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

Shape = tuple[int, ...]

_BN_EPS = 1e-5
# Below a module: the key of the k × k branch in the training form → the folded convolution's name. The first that fits.
_FOLDED = (
    (re.compile(r"(?P<at>.*token_mixer)\.mixer\.rbr_conv\.0\.conv\.weight"), "reparam_conv"),
    (re.compile(r"(?P<at>.*)\.rbr_conv\.0\.conv\.weight"), "reparam_conv"),
    (re.compile(r"(?P<at>.*)\.lkb_origin\.conv\.weight"), "lkb_reparam"),
    (re.compile(r"(?P<at>.*\.network\.6)\.pe\.weight"), "reparam_conv"),
)
_BRANCH = re.compile(
    r".*\.(rbr_(conv|scale|skip)|lkb_origin|small_conv|token_mixer\.(norm|mixer))\..*|.*token_mixer\.layer_scale"
    r"|.*\.network\.6\.pe\.(weight|bias)"
)
_CARRIES_IDENTITY = re.compile(r".*(token_mixer|\.network\.6)\.reparam_conv\.weight")  # x + … was folded into it


def folded_keys(train: Mapping[str, Shape]) -> dict[str, Shape]:
    """Names and shapes of the inference form of a network whose training form has `train`."""
    keys = {key: shape for key, shape in train.items() if not _BRANCH.fullmatch(key)}
    for source, folded in _folded_convs(train):
        keys[f"{folded}.weight"] = train[source]
        keys[f"{folded}.bias"] = train[source][:1]
    return keys


def to_training_form(tensors: Mapping[str, Tensor], train: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The tensors of the inference form → an equal training form with the names and shapes of `train`."""
    found = {key: tensor for key, tensor in tensors.items() if key in train}
    for source, folded in _folded_convs(train):
        kernel, bias = tensors[f"{folded}.weight"], tensors[f"{folded}.bias"]
        if _CARRIES_IDENTITY.fullmatch(f"{folded}.weight"):
            kernel = without_identity(kernel)
        found[source] = kernel
        found[_bias_key(source)] = bias
    used = {source.removesuffix("conv.weight") + "bn" for source, _ in _folded_convs(train)}
    for key, shape in train.items():
        if key not in found:
            found[key] = _neutral(key, shape, silent=key.rpartition(".")[0] not in used)
    return found


def neutral_norm(channels: int) -> dict[str, Tensor]:
    """The tensors of a batch norm that changes nothing."""
    names = {"weight": (channels,), "bias": (channels,), "running_mean": (channels,), "running_var": (channels,)}
    return {name: _neutral(name, shape) for name, shape in {**names, "num_batches_tracked": ()}.items()}


def _folded_convs(train: Mapping[str, Shape]) -> Iterator[tuple[str, str]]:
    """(key of the k × k branch, name of the folded convolution) of every module that folds."""
    for key in train:
        for pattern, name in _FOLDED:
            found = pattern.fullmatch(key)
            if found:
                yield key, f"{found['at']}.{name}"
                break


def _bias_key(source: str) -> str:
    if source.endswith(".pe.weight"):
        return source.removesuffix("weight") + "bias"
    return source.removesuffix("conv.weight") + "bn.bias"


def without_identity(kernel: Tensor) -> Tensor:
    """The kernel of X' = conv(X), depthwise, (C, 1, k) or (C, 1, k, k) → that of X' = conv'(X) + X."""
    taps = kernel.double().flatten(1).clone()  # (C, k) or (C, k·k), k odd: the centre is in the middle
    taps[:, taps.shape[1] // 2] -= 1
    return taps.reshape(kernel.shape).float()


def _neutral(key: str, shape: Shape, *, silent: bool = False) -> Tensor:
    """A parameter of a branch that adds nothing (`silent`), or of a norm that changes nothing."""
    name = key.rpartition(".")[2]
    if name == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if name == "running_var":
        return torch.full(shape, 1 - _BN_EPS)
    if name == "layer_scale" or (name == "weight" and len(shape) == 1 and not silent):
        return torch.ones(shape)
    return torch.zeros(shape)
