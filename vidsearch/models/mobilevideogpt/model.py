"""The whole network: frames and a prompt → the language model's input, and so an answer.

Source: Mobile-VideoGPT (arXiv 2503.21782) figure 2. The state dict is the published checkpoint's, which does not hold
the image tower: that is published on its own (openai/clip-vit-base-patch16) and loaded on its own into `image_tower`.

Axes: F frames (16), C chunks (2), L patch tokens of a frame (196), V visual tokens (2402), d language model's width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Literal, Self

import torch
from torch import Tensor, nn

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN, MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.frame_selection import first_copies, regroup, select_frames
from vidsearch.models.mobilevideogpt.projector import TokenProjector
from vidsearch.models.qwen2.decoder import CausalLanguageModel, Decoder
from vidsearch.models.videomamba.video_mamba import VideoMamba

Encoder = Literal["image", "video"]

_FRAMES_AT_ONCE = 4  # in the image tower: as fast as all of them, in a quarter of the memory


class VisualDecoder(Decoder):
    """The decoder with what turns frames into its embeddings, under the published names."""

    def __init__(self, config: MobileVideoGPTConfig) -> None:
        super().__init__(config.language_model)
        width = config.language_model.hidden_size
        self.vision_tower = VideoMamba(**asdict(config.video_encoder))
        self.mm_projector = TokenProjector(config.video_encoder.embed_dim, width, config.video_side)
        self.image_mm_projector = TokenProjector(config.image_tower.hidden_size, width, config.image_side)


class MobileVideoGPT(CausalLanguageModel):
    """Mobile-VideoGPT. `config` is that of the whole, `lm_config` the language model's.

    `image_tower` moves and changes dtype with the network, and is not in its state dict.
    """

    model: VisualDecoder

    def __init__(self, config: MobileVideoGPTConfig) -> None:
        super().__init__(config.language_model, VisualDecoder(config))
        self.config = config
        # In a tuple, which torch does not register: neither its parameters nor its keys are this network's.
        self._published_apart = (ClipImageTower(**asdict(config.image_tower)),)

    @property
    def image_tower(self) -> ClipImageTower:
        """CLIP's, whose weights are published on their own."""
        return self._published_apart[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.image_tower._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def encode_clip(self, image_pixels: Tensor, video_pixels: Tensor) -> Tensor:
        """(F, 3, S, S) of both preprocessings, padded to F → (1, V, d): see `encode_clip` of this module."""
        return encode_clip(lambda _: self, image_pixels, video_pixels)[0]

    def image_features(self, pixels: Tensor) -> Tensor:
        """(F, 3, S, S) → (F, L, D); frames that are equal to the bit, such as padding, are encoded once."""
        copies = first_copies(pixels)
        distinct = sorted(set(copies))
        parts = torch.split(pixels[distinct], _FRAMES_AT_ONCE)
        encoded = torch.cat([self.image_tower(part) for part in parts])
        return encoded[[distinct.index(f) for f in copies]]

    def keyframes(self, features: Tensor) -> Tensor:
        """(F, L, D) → (C·keep,) int64: numbers of the frames kept, ascending; scored in float32 or wider."""
        chunk, keep = self.config.chunk, self.config.keep
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        return torch.cat([select_frames(part, keep) + chunk * n for n, part in enumerate(torch.split(features, chunk))])

    def video_tokens(self, pixels: Tensor) -> Tensor:
        """(B, C·keep, 3, S, S) keyframes of all chunks as one clip → (B, C·keep, P, D)."""
        return self.model.vision_tower(pixels).unflatten(1, (pixels.shape[1], -1))

    def visual_tokens(self, features: Tensor, video: Tensor) -> Tensor:
        """(B, F, L, D) of the image tower, (B, C·keep, P, D) of the video encoder → (B, V, d), images first."""
        chunks = torch.stack([regroup(clip, self.config.keep) for clip in video])  # (B, C, keep·49, D)
        images = self.model.image_mm_projector(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        clips = self.model.mm_projector(chunks.flatten(0, 1)).unflatten(0, chunks.shape[:2])
        return torch.cat((images.flatten(1, 2), clips.flatten(1, 2)), dim=1)  # (B, F·144 + C·49, d)

    def embed_prompt(self, input_ids: Tensor, visual: Tensor) -> Tensor:
        """(L,) token ids with one run of IMAGE_TOKEN, and (1, V, d) visual tokens → (1, L − run + V, d).

        The run gives way to all visual tokens, however long it is. Raises ValueError unless there is one run.
        """
        places = (input_ids == IMAGE_TOKEN).nonzero().flatten().tolist()
        if not places or places[-1] - places[0] + 1 != len(places):
            raise ValueError("the prompt needs its image placeholders in one run")
        table: nn.Embedding = self.model.embed_tokens
        before, after = table(input_ids[: places[0]]), table(input_ids[places[-1] + 1 :])
        return torch.cat((before, visual[0].to(before.dtype), after)).unsqueeze(0)


def encode_clip(
    network_for: Callable[[Encoder], MobileVideoGPT], image_pixels: Tensor, video_pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """One clip → its visual tokens (1, V, d), images of all frames first, and its keyframes (C·keep,) int64.

    Both pixels are (F, 3, S, S), padded to F. The video encoder sees only the keyframes, which the image tower's
    features select (section 3.2), of all chunks as one clip. `network_for` gives the network with the weights of one
    encoder ready to run ("video" includes both projectors): a caller short of memory reads one after the other.
    """
    features, keyframes = _image_pass(network_for("image"), image_pixels)
    network = network_for("video")
    video = network.video_tokens(video_pixels[keyframes].unsqueeze(0))
    return network.visual_tokens(features.unsqueeze(0), video), keyframes


def _image_pass(network: MobileVideoGPT, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(F, L, D) features and the keyframes; a function of its own, so that the network is freed when it returns."""
    features = network.image_features(pixels)
    return features, network.keyframes(features)
