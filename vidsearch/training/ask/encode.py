"""Clips of the world through both encoders of a network.

Axes: B clips, F frames, L patch tokens of a frame, N chosen frames, P tokens of one, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.clips import RenderedClip, even_frames, image_pixels, video_pixels
from vidsearch.training.ask.settings import Selection


def encode(
    network: MobileVideoGPT,
    rendered: list[RenderedClip],
    selection: Selection,
    device: str,
    *,
    blank: bool = False,
    learning: bool = False,
) -> tuple[Tensor, list[list[int]], Tensor]:
    """Clips → features of the image tower (B, F, L, D), frozen; the frames chosen; their video tokens (B, N, P, D).

    `blank`: pictures of the mean colour instead of the clips; `learning`: gradients reach the video encoder.
    """
    config = network.config
    images = image_pixels([clip.image_frames(range(config.frames)) for clip in rendered]).to(device)
    images = torch.zeros_like(images) if blank else images
    with torch.no_grad():
        features = network.image_tower(images.flatten(0, 1)).float().unflatten(0, images.shape[:2])
        chosen = [select(network, frames, selection) for frames in features]
    pixels = video_pixels([clip.video_frames(c) for clip, c in zip(rendered, chosen, strict=True)]).to(device)
    pixels = torch.zeros_like(pixels) if blank else pixels
    with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
        tokens = network.video_tokens(pixels).float()
    return features, chosen, tokens


def select(network: MobileVideoGPT, features: Tensor, selection: Selection) -> list[int]:
    """(F, L, D) → the frames that reach the video encoder, ascending: by score, or evenly spread over each chunk."""
    if selection == "scored":
        return [int(frame) for frame in network.keyframes(features)]
    return even_frames(network.config)
