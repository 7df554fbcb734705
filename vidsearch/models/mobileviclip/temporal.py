"""What MobileViCLIP adds along time, in its training form.

MobileViCLIP (ICCV 2025, arXiv 2508.07312): "spatiotemporal RepMixer" and the temporal position encoding (TPE) of
"spatiotemporal attention"; the attention itself is in `image_encoder.py`, temporal pooling in `model.py`. Frames stand
in the batch axis, (B·T, C, H, W), frame after frame of one clip; T is fixed, since the TPE has one vector per frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TemporalMixer(nn.Module):
    """X' = DWConv1D(BN(X)) + X along T, at each position and channel on its own; zeros beyond both ends.

    The convolution starts at zero: a fresh network, or one with MobileCLIP's weights, treats each frame as a picture.
    """

    def __init__(self, channels: int, frames: int, kernel: int, bias: bool) -> None:
        super().__init__()
        self.frames = frames
        self.norm = nn.BatchNorm2d(channels)  # statistics over batch, time and space
        self.conv = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=bias)
        nn.init.zeros_(self.conv.weight)
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        residual = x if self.conv.bias is None else x + self.conv.bias.to(x.dtype)[:, None, None]
        onto = torch.unflatten(residual, 0, (-1, self.frames))
        return shifted_sum(self.norm(x), self.conv.weight, onto, self.frames)


def shifted_sum(x: Tensor, weight: Tensor, onto: Tensor, frames: int) -> Tensor:
    """onto + the depthwise convolution of x along T with zero padding: scaled copies of x, shifted in time, added.

    Faster here than conv1d or conv3d: frames need not become the last axis. x (B·T, C, H, W), weight (C, 1, k), onto
    anything that broadcasts to (B, T, C, H, W). Works in x's dtype.
    """
    taps = weight[:, 0].to(x.dtype).unbind(1)  # k of (C)
    radius = len(taps) // 2
    clips = torch.unflatten(x, 0, (-1, frames))  # (B, T, C, H, W)
    total = torch.addcmul(onto.to(x.dtype), clips, taps[radius][:, None, None])
    for shift in range(1, min(radius, frames - 1) + 1):
        total[:, shift:].addcmul_(clips[:, :-shift], taps[radius - shift][:, None, None])
        total[:, :-shift].addcmul_(clips[:, shift:], taps[radius + shift][:, None, None])
    return total.flatten(0, 1)


def temporal_embedding(channels: int, frames: int) -> nn.Parameter:
    """(1, T, C), zero at first: the network starts as the picture network that it extends."""
    return nn.Parameter(torch.zeros(1, frames, channels))


def add_temporal_embedding(x: Tensor, embedding: Tensor) -> Tensor:
    """x (B·T, C, H, W), embedding (1, T, C): one vector added to every position of frame t."""
    frames = embedding.shape[1]
    return (torch.unflatten(x, 0, (-1, frames)) + embedding.to(x.dtype)[..., None, None]).flatten(0, 1)
