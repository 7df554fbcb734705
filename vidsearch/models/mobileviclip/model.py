"""MobileCLIP (pictures and words) and MobileViCLIP (clips and words): two towers into one space.

Networks take what `config.preprocessing` describes, already normalised: they neither resize nor subtract a mean.
"""

from __future__ import annotations

from copy import deepcopy
from math import log
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.models.mobileviclip.config import MobileCLIPConfig, MobileViCLIPConfig
from vidsearch.models.mobileviclip.fold import reparameterize_
from vidsearch.models.mobileviclip.fuse import fuse_blocks
from vidsearch.models.mobileviclip.image_encoder import ImageEncoder
from vidsearch.models.mobileviclip.text_encoder import TextEncoder

TokenIds = Tensor | NDArray[np.int64]


class _Wrapped(nn.Module):
    """Apple's image encoder stands one level down, under `image_encoder.model`."""

    def __init__(self, model: ImageEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


class _TwoTowers(nn.Module):
    """The forms of a network. Both steps leave the network itself as it is and return a copy without gradients."""

    def reparameterize(self) -> Self:
        """The inference form: branches summed, as Apple's own fold does; key names are those of folded checkpoints."""
        folded = deepcopy(self).eval().requires_grad_(False)
        reparameterize_(folded)
        return folded.requires_grad_(False)

    def fuse(self) -> Self:
        """The fastest form, for running only: `reparameterize`, then every fold that it leaves."""
        fused = self.reparameterize()
        fuse_blocks(fused)
        return fused.requires_grad_(False)


class MobileCLIP(_TwoTowers):
    """arXiv 2311.17049, figure "architecture"; `state_dict()` has the names of Apple's checkpoints."""

    def __init__(self, config: MobileCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = _Wrapped(ImageEncoder(config.image, config.embed_dim))
        self.text_encoder = TextEncoder(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))
        initialise(self)

    def encode_image(self, images: Tensor, normalize: bool = True) -> Tensor:
        """(B, 3, H, W), RGB in [0, 1] (these sizes have mean 0 and std 1) → (B, E), of unit length if `normalize`."""
        return _finish(self.image_encoder(images), normalize)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """(B, T, 3, H, W) normalised → (B, E) float32, unit length: the mean of the un-normalised vectors of frames."""
        frames = self.encode_image(clips.flatten(0, 1), normalize=False)  # (B·T, E)
        return _finish(torch.unflatten(frames, 0, clips.shape[:2]).float().mean(1), normalize=True)

    def encode_text(self, token_ids: TokenIds, normalize: bool = True) -> Tensor:
        """(B, 77) int64, from the tokenizer → (B, E), of unit length if `normalize`."""
        return _finish(self.text_encoder(_on_device(token_ids, self.logit_scale)), normalize)


class MobileViCLIP(_TwoTowers):
    """arXiv 2508.07312: MobileCLIP's towers, the image tower extended along time.

    `temp` is the training temperature, a plain number: logits = cosine / temp.
    """

    def __init__(self, config: MobileViCLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_encoder = ImageEncoder(config.image, config.embed_dim, config.temporal)
        self.text_encoder = TextEncoder(config.text, config.embed_dim)
        self.temp = nn.Parameter(torch.tensor(0.01))
        initialise(self)

    def encode_frames(self, clips: Tensor) -> Tensor:
        """(B, T, 3, H, W) normalised → (B, T, E): a vector for each frame, which knows of the others."""
        temporal = self.config.temporal
        fixed = temporal.repmixer or temporal.joint_attention or temporal.tpe
        if fixed and clips.shape[1] != temporal.frames:
            raise ValueError(f"{self.config.name} takes clips of {temporal.frames} frames, not {clips.shape[1]}")
        return self.vision_encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])

    def encode_video(self, clips: Tensor, normalize: bool = True) -> Tensor:
        """(B, T, 3, H, W) normalised → (B, E): the mean over T comes before the norm (the paper's temporal pooling)."""
        return _finish(self.encode_frames(clips).mean(1), normalize)

    def encode_image(self, images: Tensor, normalize: bool = True) -> Tensor:
        """(B, 3, H, W) normalised → (B, E): a picture is a clip whose frames are all equal."""
        frames = self.config.temporal.frames
        return self.encode_video(images[:, None].expand(-1, frames, -1, -1, -1), normalize)

    def encode_clips(self, clips: Tensor) -> Tensor:
        """(B, T, 3, H, W) normalised → (B, E) float32, unit length: what `encode_video` gives."""
        return self.encode_video(clips).float()

    def encode_text(self, token_ids: TokenIds, normalize: bool = True) -> Tensor:
        """(B, 77) int64, from the tokenizer → (B, E), of unit length if `normalize`."""
        return _finish(self.text_encoder(_on_device(token_ids, self.temp)), normalize)


def _on_device(token_ids: TokenIds, parameter: Tensor) -> Tensor:
    return torch.as_tensor(token_ids, dtype=torch.int64, device=parameter.device)


def _finish(vectors: Tensor, normalize: bool) -> Tensor:
    """Unit length is reached in at least float32: half precision would be off by a per mille."""
    if not normalize:
        return vectors
    return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


def initialise(network: nn.Module) -> None:
    """Fresh linear layers as in FastViT: truncated normal, std 0.02, no bias; convolutions keep torch's default."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
