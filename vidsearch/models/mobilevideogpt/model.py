"""The whole network: frames and a prompt → the language model's input, and so an answer.

Source: Mobile-VideoGPT (arXiv 2503.21782) figure 2. The state dict is the published checkpoint's, which does not hold
the image tower: that is published on its own (openai/clip-vit-base-patch16) and loaded on its own into `image_tower`.

Axes: F frames (16), C chunks (2), L patch tokens of a frame (196), V visual tokens (2402), d language model's width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Self

import torch
from torch import Tensor, nn

from vidsearch.models.clip_vit.image_tower import ClipImageTower
from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN, MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.frame_selection import first_copies, regroup, select_frames
from vidsearch.models.mobilevideogpt.projector import TokenProjector
from vidsearch.models.qwen2.decoder import CausalLanguageModel, Decoder
from vidsearch.models.videomamba.video_mamba import VideoMamba

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
    """Mobile-VideoGPT. `image_tower` moves and changes dtype with the network, and is in no state dict of it."""

    model: VisualDecoder
    image_tower: ClipImageTower

    def __init__(self, config: MobileVideoGPTConfig) -> None:
        super().__init__(config.language_model, VisualDecoder(config))
        self.layout = config
        # Past nn.Module's registration: neither its parameters nor its keys are this network's.
        object.__setattr__(self, "image_tower", ClipImageTower(**asdict(config.image_tower)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.image_tower._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def encode_clip(self, image_pixels: Tensor, video_pixels: Tensor) -> Tensor:
        """(F, 3, S, S) of both preprocessings, padded to F → (1, V, d): image tokens of all frames, then video tokens.

        The video encoder sees the frames that the image tower's features select, of all chunks as one clip.
        """
        features = self.image_features(image_pixels)
        return self.project(features, self.video_features(video_pixels[self.selected_frames(features)]))

    def image_features(self, pixels: Tensor) -> Tensor:
        """(F, 3, S, S) → (F, L, D); frames that are equal to the bit, such as padding, are encoded once."""
        copies = first_copies(pixels)
        distinct = sorted(set(copies))
        parts = torch.split(pixels[distinct], _FRAMES_AT_ONCE)
        encoded = torch.cat([self.image_tower(part) for part in parts])
        return encoded[[distinct.index(f) for f in copies]]

    def selected_frames(self, features: Tensor) -> Tensor:
        """(F, L, D) → (C·keep,) int64: numbers of the frames kept, ascending; scored in float32 or wider."""
        chunk = self.layout.chunk
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        kept = [
            select_frames(part, self.layout.keep) + chunk * n for n, part in enumerate(torch.split(features, chunk))
        ]
        return torch.cat(kept)

    def video_features(self, pixels: Tensor) -> Tensor:
        """(C·keep, 3, S, S) chosen frames as one clip → (C, keep·49, D), pooled and put back to their chunks."""
        tokens = self.model.vision_tower(pixels.unsqueeze(0))  # (1, C·keep·196, D)
        return regroup(tokens.unflatten(1, (len(pixels), -1)).squeeze(0), self.layout.keep)

    def project(self, features: Tensor, video: Tensor) -> Tensor:
        """(F, L, D) of the image tower and (C, keep·49, D) of the video encoder → (1, V, d), images first."""
        image_tokens = self.model.image_mm_projector(features)  # (F, 144, d)
        video_tokens = self.model.mm_projector(video)  # (C, 49, d)
        return torch.cat((image_tokens.flatten(0, 1), video_tokens.flatten(0, 1))).unsqueeze(0)

    def embed_prompt(self, input_ids: Tensor, visual: Tensor) -> Tensor:
        """(L,) token ids with one run of IMAGE_TOKEN, and (1, V, d) visual tokens → (1, L − run + V, d).

        The run gives way to all visual tokens, however long it is. Raises ValueError where there is no run, or two.
        """
        places = (input_ids == IMAGE_TOKEN).nonzero().flatten().tolist()
        if not places or places[-1] - places[0] + 1 != len(places):
            raise ValueError("the prompt needs its image placeholders in one run")
        table: nn.Embedding = self.model.embed_tokens
        before, after = table(input_ids[: places[0]]), table(input_ids[places[-1] + 1 :])
        return torch.cat((before, visual[0].to(before.dtype), after)).unsqueeze(0)
