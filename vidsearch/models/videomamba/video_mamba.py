"""The video encoder: VideoMamba, a stack of bidirectional Mamba blocks over the patches of all frames.

Source: VideoMamba (arXiv 2403.06977) sections 3.2 and 3.3, in the form pre-trained for video and text (class token in
front, 8 frames, tubelet 1); Mobile-VideoGPT section 3 (video encoder). Keys: videomamba_m16_25M_f8_res224.pth.

Axes: B clips, T frames, P patches of a frame (row-major), D width.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.deferred import DeferredModule
from vidsearch.models.videomamba.config import VideoMambaConfig
from vidsearch.models.videomamba.mamba_mixer import MambaMixer

_PRETRAINING_WIDTH = 512  # of the text side that VideoMamba was pre-trained against


class VideoMamba(DeferredModule):
    """Clips → patch tokens. Keyword arguments are the fields of VideoMambaConfig; keys start with vision_encoder."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = VideoMambaConfig(**config)
        self.vision_encoder = _Encoder(self.config)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, 3, S, S) normalised → (B, T·P, D), frame after frame; T is the config's, or 1 (a still picture)."""
        return self.encode(clips)[:, 1:]

    def encode(self, clips: Tensor) -> Tensor:
        """(B, T, 3, S, S) → (B, 1 + T·P, D): the class token first, then the patch tokens."""
        return self.vision_encoder(clips)


class _Encoder(nn.Module):
    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.patches, width))
        self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, config.num_frames, width))
        self.patch_embed = _PatchEmbedding(config)
        self.layers = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, config.norm_eps)
        self.clip_decoder = nn.ModuleList([_PretrainingHead(width)])
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.embed(clips)
        stream = x.to(torch.promote_types(x.dtype, torch.float32))  # the residual stream is never narrower
        for block in self.layers:
            stream = block(stream)
        return _normed(stream, self.norm).to(x.dtype)

    def embed(self, clips: Tensor) -> Tensor:
        """(B, T, 3, S, S) → (B, 1 + T·P, D): one class token for the clip, without a place in time."""
        frames = clips.shape[1]
        places = self.temporal_pos_embedding.shape[1]
        if frames not in (1, places):
            raise ValueError(f"a clip of {frames} frames: the encoder has places in time for {places}, or takes 1")
        x = self.patch_embed(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # (B, T, P, D)
        x = x + self.pos_embed[:, 1:]
        if frames > 1:
            x = x + self.temporal_pos_embedding.unsqueeze(2)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(clips), -1, -1)
        return torch.cat((first, x.flatten(1, 2)), dim=1)


class _PatchEmbedding(nn.Module):
    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        kernel = (config.tubelet, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.embed_dim, kernel, kernel)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, S, S) → (N, P, D); with tubelet 1 the stored 3-D convolution is a 2-D one."""
        kernel = self.proj.weight.squeeze(2)
        return F.conv2d(pictures, kernel, self.proj.bias, kernel.shape[-2:]).flatten(2).transpose(1, 2)


class _Block(nn.Module):
    def __init__(self, config: VideoMambaConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.embed_dim, config.norm_eps)
        self.mixer = MambaMixer(**asdict(config.mixer))

    def forward(self, stream: Tensor) -> Tensor:
        """(B, L, D) residual stream → the same with this block's part added."""
        narrow = self.mixer.in_proj.weight.dtype
        return stream + self.mixer(_normed(stream, self.norm).to(narrow)).to(stream.dtype)


class _PretrainingHead(nn.Module):
    """Left in the published checkpoint by the pre-training, and never run."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, _PRETRAINING_WIDTH)
        self.norm = nn.LayerNorm(_PRETRAINING_WIDTH)


def _normed(stream: Tensor, norm: nn.RMSNorm) -> Tensor:
    """RMS norm in the residual stream's precision, whatever the weight is stored in."""
    return F.rms_norm(stream, norm.normalized_shape, norm.weight.to(stream.dtype), norm.eps)
