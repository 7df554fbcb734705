"""The published sizes of Mobile-VideoGPT as plain values; no torch.

Source: Mobile-VideoGPT (arXiv 2503.21782), section 3, and the config.json files of its parts: CLIP ViT-B/16,
VideoMamba-M (8 frames, 224) and Qwen2.5-0.5B/1.5B-Instruct. Field names are those of the parts' own config files, so
that a published config.json can be compared field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vidsearch.errors import ModelError
from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.preprocessing import MOST_PIXELS
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.schema import Count, read_record
from vidsearch.models.videomamba.config import VideoMambaConfig

# Fields of a published config.json that tell which network it is.
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
IMAGE_TOKEN = -200  # the placeholder of one frame among the token ids; never a row of the embedding table


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Mean and standard deviation of the red, green and blue channel, of values in 0…1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CLIP_PIXELS = PixelStatistics((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET_PIXELS = PixelStatistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, slots=True)
class MobileVideoGPTConfig:
    """A whole network, and how its clip is laid out: `frames` in chunks of `chunk`, of which `keep` reach the video.

    `image_side` and `video_side` are those of the squares of tokens that a frame and a chunk become.
    """

    image_tower: ClipImageConfig = field(default_factory=ClipImageConfig)
    video_encoder: VideoMambaConfig = field(default_factory=VideoMambaConfig)
    language_model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    frames: Count = 16
    chunk: Count = 8
    keep: Count = 4
    image_side: Count = 12
    video_side: Count = 7

    def __post_init__(self) -> None:
        if self.frames % self.chunk or self.frames // self.chunk * self.keep != self.video_encoder.num_frames:
            raise ValueError(
                f"{self.frames} frames in chunks of {self.chunk}, {self.keep} kept of each, are not the "
                f"{self.video_encoder.num_frames} frames that the video encoder takes"
            )
        if self.frames * max(self.image_tower.image_size, self.video_encoder.img_size) ** 2 > MOST_PIXELS:
            raise ValueError(f"clips of {self.frames} such frames are larger than any model takes")


# The model that ships: pictures of 64 px, 4 tokens of each frame and 16 of each chunk, whole words as vocabulary.
_NANO = MobileVideoGPTConfig(
    image_tower=ClipImageConfig(128, 384, 4, 4, image_size=64, patch_size=8),
    video_encoder=VideoMambaConfig(depth=4, embed_dim=128, img_size=64, patch_size=8, d_state=8, expand=1, dt_rank=8),
    language_model=LanguageModelConfig(
        vocab_size=128,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_theta=10_000.0,
        max_position_embeddings=1024,
    ),
    image_side=2,
    video_side=4,
)

CONFIGS: dict[str, MobileVideoGPTConfig] = {
    "mobilevideogpt-0.5b": MobileVideoGPTConfig(),
    "mobilevideogpt-1.5b": MobileVideoGPTConfig(
        language_model=LanguageModelConfig(
            hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12
        )
    ),
    "mobilevideogpt-nano": _NANO,
}


def published_name(fields: Mapping[str, object]) -> str | None:
    """The name of the network whose sizes the fields of a published config.json have; None where none has them."""
    return next(
        (
            name
            for name, config in CONFIGS.items()
            if all(fields.get(size) == getattr(config.language_model, size) for size in SIZES)
        ),
        None,
    )


def summary(network: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `models info` says of a network, from the fields of its config."""
    side, language = network["image_tower"]["image_size"], network["language_model"]
    return [
        ("input", f"{network['frames']} frames of {side} x {side} pixels, and a question"),
        ("language", f"{language['num_hidden_layers']} layers of {language['hidden_size']} values"),
        ("vocabulary", f"{language['vocab_size']:,} tokens"),
    ]


def config_from_fields(values: Mapping[str, Any]) -> MobileVideoGPTConfig:
    """What `dataclasses.asdict` made of a config, read back. ModelError names a field that is wrong or missing."""
    if missing := [name for name in ("image_tower", "video_encoder", "language_model") if name not in values]:
        raise ModelError(f"network lacks the field {missing[0]}")
    return read_record(MobileVideoGPTConfig, values, "network")
