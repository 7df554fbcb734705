"""The losses with which the encoders of the small model learn to see from scratch: what the world knows of a clip.

The published encoders were pre-trained on hundreds of millions of pictures. Here the world knows what is at every place
of every frame: a probe must read from each token what thing lies under it, where its middle is and how it moves, and
from the means of the tokens all attributes of the clip.

Axes: B clips, N frames, P patches of a frame (row-major), D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.clips import RenderedClip, image_pixels, learning_frames, video_pixels
from vidsearch.training.ask.labels import frame_targets, token_labels
from vidsearch.training.ask.probes import AttributeProbe
from vidsearch.training.world.scene import Extent, SceneAttributes, attribute_labels, similar_meanings

STILL_FIELDS = ("shape", "colour", "background", "size", "count")  # what one frame can show
_EXTENT = Extent(mix=(0.45, 0.18, 0.17), turns=0.25)
_GROUP = 4  # meanings of a batch that differ in one respect


def draw_meanings(rng: np.random.Generator, size: int, *, held_out: bool = False) -> list[SceneAttributes]:
    """Meanings of one part of the split, in groups that differ in one respect; turns, hard to see, come more often."""
    meanings: list[SceneAttributes] = []
    while len(meanings) < size:
        meanings += similar_meanings(rng, min(_GROUP, size - len(meanings)), held_out=held_out, extent=_EXTENT)
    return meanings


def image_encoder_loss(
    tower: ClipImageTower,
    probe: AttributeProbe,
    meanings: list[SceneAttributes],
    rng: np.random.Generator,
    config: MobileVideoGPTConfig,
) -> Tensor:
    """What `probe` fails to read from the image tower's features of two frames of each clip."""
    clips = [RenderedClip(meaning, rng, config) for meaning in meanings]
    chosen = [sorted(rng.permutation(config.frames)[:2].tolist()) for _ in meanings]
    pixels = image_pixels([clip.image_frames(frames) for clip, frames in zip(clips, chosen, strict=True)])
    tokens = tower(pixels.flatten(0, 1).to(_device(tower))).float()
    side = config.image_tower.image_size // config.image_tower.patch_size
    loss = _token_loss(tokens.unflatten(0, (len(clips), 2)), probe, clips, chosen, side, still=True)
    loss = loss + _frame_loss(tokens.unflatten(0, (len(clips), 2)), probe, clips, chosen, still=True)
    labels = _scene_labels(meanings).repeat_interleave(2, 0).to(tokens.device)
    return loss + probe.meaning_losses(tokens, labels).sum()


def video_encoder_loss(
    encoder: VideoMamba,
    probe: AttributeProbe,
    meanings: list[SceneAttributes],
    rng: np.random.Generator,
    config: MobileVideoGPTConfig,
) -> Tensor:
    """What `probe` fails to read from the tokens of clips, of which any `keep` frames of each chunk are shown."""
    clips = [RenderedClip(meaning, rng, config) for meaning in meanings]
    chosen = [learning_frames(rng, config) for _ in meanings]
    pixels = video_pixels([clip.video_frames(frames) for clip, frames in zip(clips, chosen, strict=True)])
    tokens = encoder(pixels.to(_device(encoder))).float().unflatten(1, (len(chosen[0]), -1))
    return video_token_loss(tokens, probe, clips, chosen, config)


def video_token_loss(
    tokens: Tensor,
    probe: AttributeProbe,
    clips: Sequence[RenderedClip],
    chosen: Sequence[Sequence[int]],
    config: MobileVideoGPTConfig,
) -> Tensor:
    """The same of tokens (B, N, P, D) that are there already, of the frames `chosen` of each clip."""
    side = config.video_encoder.img_size // config.video_encoder.patch_size
    loss = _token_loss(tokens, probe, clips, chosen, side, still=False)
    loss = loss + _frame_loss(tokens, probe, clips, chosen, still=False)
    labels = _scene_labels([clip.scene.meaning for clip in clips]).to(tokens.device)
    return loss + probe.meaning_losses(tokens.flatten(1, 2), labels).sum()


def _token_loss(
    tokens: Tensor,
    probe: AttributeProbe,
    clips: Sequence[RenderedClip],
    chosen: Sequence[Sequence[int]],
    side: int,
    *,
    still: bool,
) -> Tensor:
    """Of side × side tokens of each frame, (B, N, P, D). `still`: of middle squares, and nothing of motion."""
    labels = [
        token_labels(clip.scene, clip.moments[list(frames)], side, square=still)
        for clip, frames in zip(clips, chosen, strict=True)
    ]
    return probe.token_loss(tokens, labels, moving=not still)


def _frame_loss(
    tokens: Tensor,
    probe: AttributeProbe,
    clips: Sequence[RenderedClip],
    chosen: Sequence[Sequence[int]],
    *,
    still: bool,
) -> Tensor:
    """Of the means of the frames' tokens, (B, N, P, D)."""
    targets = [
        frame_targets(clip.scene, clip.moments[list(frames)], square=still)
        for clip, frames in zip(clips, chosen, strict=True)
    ]
    return probe.frame_loss(tokens, targets, moving=not still)


def _scene_labels(meanings: list[SceneAttributes]) -> Tensor:
    """(B, 9) int64, see `scene.attribute_labels`."""
    return torch.from_numpy(np.stack([attribute_labels(meaning) for meaning in meanings])).long()


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
