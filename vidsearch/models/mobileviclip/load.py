"""A size, a config or a model folder → MobileCLIP's or MobileViCLIP's network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from vidsearch.models import weights
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig, MobileViCLIPConfig, config_from_dict
from vidsearch.models.mobileviclip.fold import reparameterize_
from vidsearch.models.mobileviclip.fuse import fuse_blocks
from vidsearch.models.mobileviclip.model import MobileCLIP, MobileViCLIP

Network = MobileCLIP | MobileViCLIP
Form = Literal["train", "inference", "fused"]
Towers = Literal["both", "image"]
_NETWORKS: dict[str, Callable[[Any], Network]] = {"mobileclip": MobileCLIP, "mobileviclip": MobileViCLIP}


def build(name: str) -> Network:
    """The network of a published size with fresh weights, in its training form and in eval mode."""
    return build_from(CONFIGS[name])


def build_from(config: MobileCLIPConfig | MobileViCLIPConfig) -> Network:
    """The network of a config, as `build`: for sizes of one's own."""
    return _NETWORKS[config.family](config).eval()


def load_network(
    folder: ModelFolder,
    form: Form = "fused",
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    towers: Towers = "both",
) -> Network:
    """The network of a model folder in eval mode, its tensors mapped from the file until a fold or a cast copies them.

    Folds come before the cast to `dtype`. With towers "image" the text encoder is neither read nor there. Raises
    ModelError for a damaged file and for keys or shapes that are not those of the folder's config.
    """
    network = empty_network(config_from_dict(folder.network))
    tensors = weights.read_safetensors(folder.weights)
    if towers == "image":
        del network.text_encoder
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith("text_encoder.")}
    fill(network, tensors, file=str(folder.weights))
    if form != "train":  # in place: a copy would take time, and memory twice
        reparameterize_(network)
        if form == "fused":
            fuse_blocks(network)
        network.requires_grad_(False)
    return network.to(device=device, dtype=dtype)


def empty_network(config: MobileCLIPConfig | MobileViCLIPConfig) -> Network:
    """The network of a config without memory for its tensors; `fill` gives it some."""
    with init_empty_weights():
        return build_from(config)


def fill(network: Network, tensors: Mapping[str, Tensor], *, file: str) -> None:
    """Make `tensors` the network's own, floating ones as float32. ModelError unless names and shapes are its own."""
    weights.fill(network, tensors, file=file, model=network.config.name)
