"""A model folder of Mobile-VideoGPT ↔ its network.

One safetensors file holds both state dicts, whose names cannot meet: the network's start with `model.` or `lm_head.`,
the image tower's with `vision_model.`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.folder import ModelFolder
from vidsearch.models.keys import compare, shapes_of
from vidsearch.models.mobilevideogpt.config import CONFIGS, config_from_fields
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.weights import read_safetensors

_IMAGE_TOWER = "vision_model."


def build(name: str) -> MobileVideoGPT:
    """The network of a published size without weights (device "meta"), in eval mode.

    It takes those of its checkpoint, uncopied, in `load_state_dict`, and its `image_tower` those of CLIP.
    """
    with init_empty_weights():
        return MobileVideoGPT(CONFIGS[name]).eval()


def load_language_model(
    folder: ModelFolder, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> MobileVideoGPT:
    """The network of a model folder in eval mode, its tensors mapped from the file until a cast copies them.

    `dtype` None keeps each tensor as it is stored. Raises ModelError for a damaged file, and for keys or shapes that
    are not those of the folder's config.
    """
    config = config_from_fields(folder.network)
    with init_empty_weights():
        network = MobileVideoGPT(config).eval()
    fill_language_model(network, read_safetensors(folder.weights), file=str(folder.weights), model=folder.name)
    return network.to(device=device, dtype=dtype)


def fill_language_model(network: MobileVideoGPT, tensors: Mapping[str, Tensor], *, file: str, model: str) -> None:
    """Make `tensors` the network's own, uncopied. ModelError unless names and shapes are those of `named_tensors`."""
    compare(shapes_of(tensors), shapes_of(named_tensors(network)), file=file, model=model)
    tower = {key: tensor for key, tensor in tensors.items() if key.startswith(_IMAGE_TOWER)}
    network.image_tower.load_state_dict(tower, assign=True)
    network.load_state_dict({key: tensor for key, tensor in tensors.items() if key not in tower}, assign=True)


def named_tensors(network: MobileVideoGPT) -> dict[str, Tensor]:
    """The tensors of the whole network, image tower included, under the names that a model folder has."""
    return {**network.state_dict(), **network.image_tower.state_dict()}
