"""A model's name → its network. `load_network` of the models that search stands here for programs outside."""

from __future__ import annotations

from torch import nn

from vidsearch.models.families import family_named
from vidsearch.models.mobileviclip.load import load_network as load_network
from vidsearch.models.registry import known_model


def build(name: str) -> nn.Module:
    """The network of that name with fresh weights, in its training form and in eval mode.

    A mobilevideogpt network has no weights at all (device "meta"): it takes those of its checkpoint, uncopied, in
    `load_state_dict`, and its `image_tower` those of CLIP. Raises ModelError for a name that the registry lacks.
    """
    return family_named(known_model(name).family).build(name)
