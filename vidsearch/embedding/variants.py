"""A model with another preprocessing, or another place of its temporal encoding, than its folder says.

For what a paper leaves open: the published weights of MobileViCLIP fit one of these, and `vidsearch evaluate settle`
finds out which. What is stored in a library is always made as the folder says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vidsearch import dirs
from vidsearch.embedding.torch_clips import TorchClipEmbedder
from vidsearch.errors import VidsearchError
from vidsearch.models.folder import ModelFolder, find_model
from vidsearch.models.soundness import require_sound
from vidsearch.records import FrameSpec

# Three candidates: ImageNet's, CLIP's, and none at all, values in [0, 1].
MEAN_STD: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
TPE_PLACES = ("after", "before")
# By the reader, which scales bilinearly: squash ignores the aspect ratio, centre-crop keeps it. By torch, ignoring it:
TORCH_RESIZES = {"bilinear": ("bilinear", False), "bicubic": ("bicubic", False), "bicubic-antialias": ("bicubic", True)}
RESIZES = ("squash", "centre-crop", *TORCH_RESIZES)


@dataclass(frozen=True, slots=True)
class Variant:
    """What is done otherwise than the model's folder says; None: as it says."""

    mean_std: str | None = None
    tpe: str | None = None
    resize: str | None = None

    def __str__(self) -> str:
        named = (("mean and std", self.mean_std), ("TPE", self.tpe), ("resize", self.resize))
        return ", ".join(f"{what} {value}" for what, value in named if value is not None)


def variant_folder(folder: ModelFolder, variant: Variant) -> ModelFolder:
    """The folder as if its config said so. VidsearchError for an unknown name, or a model without what is varied."""
    for value, known, flag in (
        (variant.mean_std, tuple(MEAN_STD), "--mean-std"),
        (variant.tpe, TPE_PLACES, "--tpe"),
        (variant.resize, RESIZES, "--resize"),
    ):
        if value is not None and value not in known:
            raise VidsearchError(f"{flag} {value} is none of {', '.join(known)}.")
    fields: dict[str, Any] = dict(folder.network)
    if "preprocessing" not in fields:
        raise VidsearchError(f"{folder.name} has no preprocessing that could be varied.")
    preprocessing = dict(fields["preprocessing"])
    if variant.mean_std is not None:
        preprocessing["mean"], preprocessing["std"] = (list(own) for own in MEAN_STD[variant.mean_std])
    if variant.resize in ("squash", "centre-crop"):
        preprocessing["fit"] = variant.resize
    fields["preprocessing"] = preprocessing
    if variant.tpe is not None:
        temporal = fields.get("temporal")
        if not temporal or not temporal.get("tpe", True) or temporal.get("tpe_place") == "block":
            raise VidsearchError(f"{folder.name} has no temporal encoding beside its position encoding to be moved.")
        fields["temporal"] = {**temporal, "tpe_place": variant.tpe}
    return replace(folder, network=fields, config=folder.family.config(fields))


class VariantEmbedder(TorchClipEmbedder):
    """A `ClipEmbedder` of a variant; `prepare` brings frames to the side where torch resizes them."""

    def __init__(self, folder: ModelFolder, variant: Variant, *, device: str = "auto") -> None:
        super().__init__(variant_folder(folder, variant), device=device)
        self._resize = TORCH_RESIZES.get(variant.resize or "")
        if self._resize is not None:
            self.frame_spec = FrameSpec(self.frame_spec.side_px, "as-is")

    def prepare(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(T, H, W, 3) uint8 of any size → (T, S, S, 3) uint8, rounded as torchvision rounds."""
        if self._resize is None:
            return frames
        mode, antialias = self._resize
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 1).float()
        size = (self.frame_spec.side_px, self.frame_spec.side_px)
        resized = F.interpolate(pixels, size=size, mode=mode, align_corners=False, antialias=antialias)
        return resized.round().clamp(0, 255).to(torch.uint8).movedim(1, -1).contiguous().numpy()


def open_variant(model: str, variant: Variant, *, device: str = "auto") -> VariantEmbedder:
    """The variant of an installed or bundled model; see `embedder.open_clip_embedder` for what it raises."""
    folder = find_model(model, dirs.models_dir(), "embedding")
    require_sound(folder)
    return VariantEmbedder(folder, variant, device=device)
