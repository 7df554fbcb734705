"""A model's name, or its folder → its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.folder import ModelFolder
from vidsearch.models.keys import compare
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig, MobileViCLIPConfig, config_from_dict
from vidsearch.models.mobileviclip.fold import reparameterize_
from vidsearch.models.mobileviclip.fuse import fuse_blocks
from vidsearch.models.mobileviclip.model import MobileCLIP, MobileViCLIP
from vidsearch.models.mobilevideogpt.config import CONFIGS as LANGUAGE_CONFIGS
from vidsearch.models.weights import read_safetensors

if TYPE_CHECKING:
    from vidsearch.models.mobilevideogpt.model import MobileVideoGPT

Network = MobileCLIP | MobileViCLIP
Form = Literal["train", "inference", "fused"]
Towers = Literal["both", "image"]


def build(name: str) -> Network | MobileVideoGPT:
    """The network of that name with fresh weights, in its training form and in eval mode.

    A mobilevideogpt network has no weights at all (device "meta"): it takes those of its checkpoint, uncopied, in
    `load_state_dict`, and its `image_tower` those of CLIP. Raises ModelError for a name that is in no `CONFIGS`.
    """
    if name in LANGUAGE_CONFIGS:
        return _build_language_network(name)
    config = CONFIGS.get(name)
    if config is None:
        known = ", ".join(sorted({*CONFIGS, *LANGUAGE_CONFIGS}))
        raise ModelError(f"No model is called {name!r}; choose one of {known}.")
    return build_from(config)


def _build_language_network(name: str) -> MobileVideoGPT:
    from vidsearch.models.mobilevideogpt.model import MobileVideoGPT  # late: index and query never need it

    with init_empty_weights():
        return MobileVideoGPT(LANGUAGE_CONFIGS[name]).eval()


def build_from(config: MobileCLIPConfig | MobileViCLIPConfig) -> Network:
    """The network of a config, as `build`: for sizes of one's own."""
    network = MobileViCLIP(config) if isinstance(config, MobileViCLIPConfig) else MobileCLIP(config)
    return network.eval()


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
    network = empty_network(config_from_dict(dict(folder.network)))
    tensors = read_safetensors(folder.weights)
    if towers == "image":
        del network.text_encoder
        tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith("text_encoder.")}
    fill(network, tensors, file=str(folder.weights))
    if form != "train":  # in place, as nobody else has this network: a copy would take time, and memory twice
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
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    compare({key: tuple(tensor.shape) for key, tensor in tensors.items()}, wanted, file=file, model=network.config.name)
    own = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    network.load_state_dict(own, strict=True, assign=True)
