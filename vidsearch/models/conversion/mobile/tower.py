"""One tower of a network with what proves an export of it: examples, and the vectors that torch gives for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.errors import VidsearchError
from vidsearch.models.exports import TowerName, Vectors
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import MobileCLIPConfig
from vidsearch.models.mobileviclip.export_form import (
    ClipTower,
    FormOptions,
    TextTower,
    clip_tower,
    text_inputs,
    text_tower,
)
from vidsearch.models.mobileviclip.export_layers import (
    ClipHead,
    ConvFeedForward,
    ConvGelu,
    ConvolvedTemporal,
    FrameTable,
    PictureAttention,
    ShiftedTemporal,
    TextHead,
    TokenConv,
    TokenLayer,
    WordTable,
)
from vidsearch.models.mobileviclip.load import Network, load_network
from vidsearch.models.mobileviclip.tokenizer import tokenize
from vidsearch.models.numpy_pixels import drawn_clips, normalised_clips

TEXTS = (
    "a red circle moves to the left",
    "a blue square moves up, then to the right",
    "",
    "two dogs run along the beach at sunset, then " * 12,
)
_FAMILIES = ("mobileclip", "mobileviclip")
_UNITS = (
    *(ClipHead, ConvFeedForward, ConvGelu, ConvolvedTemporal, FrameTable, PictureAttention, ShiftedTemporal),
    *(TextHead, TokenConv, TokenLayer, WordTable, nn.Conv2d),
)
Feed = dict[str, NDArray]


@dataclass(frozen=True)
class Tower:
    """A network in its inference form and one of its towers."""

    name: TowerName
    network: Network

    @property
    def config(self) -> MobileCLIPConfig:
        return self.network.config

    def clip_form(self, options: FormOptions) -> ClipTower:
        return clip_tower(self.network, options)

    def text_form(self) -> TextTower:
        return text_tower(self.network)

    def form(self, options: FormOptions) -> ClipTower | TextTower:
        """The export form of this tower."""
        return self.clip_form(options) if self.name == "clip" else self.text_form()

    @cached_property
    def clips(self) -> NDArray[np.float32]:
        """(N, T, 3, S, S) normalised."""
        preprocessing = self.config.preprocessing
        return normalised_clips(drawn_clips(preprocessing), preprocessing)

    @cached_property
    def token_ids(self) -> NDArray[np.int64]:
        """(N, 77)."""
        return tokenize(TEXTS)

    @cached_property
    def expected(self) -> Vectors:
        """(N, E): what the network gives in torch, in float32, in the form that index and query run."""
        with torch.inference_mode():
            if self.name == "text":
                return self.network.encode_text(self.token_ids).numpy()
            fused = self.network.fuse()
            return np.concatenate([fused.encode_clips(torch.from_numpy(clip[None])).numpy() for clip in self.clips])

    def feeds(self) -> list[Feed]:
        """The examples as inputs of the export form, one after the other."""
        if self.name == "clip":
            return [{"clip": clip} for clip in self.clips]
        rows = text_inputs(self.network.text_encoder, self.token_ids)
        return [{"ids": ids, "end": end} for ids, end in rows]


def open_tower(folder: ModelFolder, name: TowerName) -> Tower:
    """A tower of a model folder, its network loaded. VidsearchError for a family that has no export form."""
    if folder.family.name not in _FAMILIES:
        families = " and ".join(_FAMILIES)
        raise VidsearchError(f"{folder.name} cannot be exported: only models of the families {families} can")
    return Tower(name, load_network(folder, "inference"))


def layer_values(form: ClipTower | TextTower, feed: Feed) -> Iterator[tuple[str, NDArray]]:
    """Path of each layer of a form → its output for one example, in the order in which they run."""
    values: list[tuple[str, NDArray]] = []
    hooks = [
        module.register_forward_hook(_keeps(path, values))
        for path, module in form.named_modules()
        if isinstance(module, _UNITS) and not _inside_unit(form, path)
    ]
    try:
        with torch.inference_mode():
            form(*(torch.from_numpy(array) for array in feed.values()))
    finally:
        for hook in hooks:
            hook.remove()
    return iter(values)


def _keeps(path: str, values: list[tuple[str, NDArray]]) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        values.append((path, output.numpy()))

    return keep


def _inside_unit(form: nn.Module, path: str) -> bool:
    names = path.split(".")
    return any(isinstance(form.get_submodule(".".join(names[:end])), _UNITS) for end in range(1, len(names)))
