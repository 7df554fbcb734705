"""Sizes of VideoMamba and of its Mamba mixers as plain values; no torch.

Source: VideoMamba (arXiv 2403.06977), videomamba_m16_25M_f8_res224; Mamba (arXiv 2312.00752).
"""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.models.schema import Count, Depth, Epsilon, SidePx, Width


@dataclass(frozen=True, slots=True)
class MixerConfig:
    """One bidirectional Mamba mixer."""

    d_model: int
    d_inner: int
    dt_rank: int
    d_state: int = 16
    d_conv: int = 4


@dataclass(frozen=True, slots=True)
class VideoMambaConfig:
    """The video encoder. The defaults are VideoMamba-M as pre-trained on 25 M pairs with 8 frames of 224 px."""

    depth: Depth = 32
    embed_dim: Width = 576
    img_size: SidePx = 224
    patch_size: Count = 16
    num_frames: Count = 8
    tubelet: Count = 1
    norm_eps: Epsilon = 1e-5
    d_state: Count = 16
    d_conv: Count = 4
    expand: Count = 2
    dt_rank: Width = 36

    def __post_init__(self) -> None:
        if self.tubelet != 1:
            raise ValueError(f"tubelet {self.tubelet}: the published encoder has one frame to a token, tubelet 1")

    @property
    def patches(self) -> int:
        """Patch tokens of one frame."""
        return (self.img_size // self.patch_size) ** 2

    @property
    def mixer(self) -> MixerConfig:
        """The mixer of every block."""
        return MixerConfig(self.embed_dim, self.expand * self.embed_dim, self.dt_rank, self.d_state, self.d_conv)
