"""A name or a model folder → ConSE's network."""

from __future__ import annotations

import torch

from vidsearch.models import weights
from vidsearch.models.conse.config import CONFIGS, ConseConfig, config_from_dict
from vidsearch.models.conse.efficientnet_lite import fold_batch_norms_
from vidsearch.models.conse.model import Conse
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.folder import ModelFolder


def build(name: str) -> Conse:
    """The network of a published size with fresh weights, in eval mode."""
    return Conse(CONFIGS[name]).eval()


def empty_network(config: ConseConfig) -> Conse:
    """The network of a config without memory for its tensors."""
    with init_empty_weights():
        return Conse(config).eval()


def load_network(
    folder: ModelFolder,
    *,
    folded: bool = True,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Conse:
    """The network of a model folder in eval mode, of which `dtype` holds what `EfficientNetLite2.round_` says.

    ModelError for a damaged file, or one that is not of its config.
    """
    config = config_from_dict(folder.network)
    network = empty_network(config)
    tensors = weights.read_safetensors(folder.weights)
    weights.fill(network, tensors, file=str(folder.weights), model=config.name)
    if folded:
        fold_batch_norms_(network.image_classifier)
    network.image_classifier.round_(dtype)
    return network.requires_grad_(False).to(device)
