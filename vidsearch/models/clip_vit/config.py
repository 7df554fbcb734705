"""Sizes of a CLIP image tower as plain values; no torch.

Source: CLIP (arXiv 2103.00020); field names are those of openai/clip-vit-base-patch16's config.json.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.models.schema import Count, Depth, Epsilon, SidePx, Width


@dataclass(frozen=True, slots=True)
class ClipImageConfig:
    """The image tower: a CLIP vision transformer. The defaults are ViT-B/16."""

    hidden_size: Width = 768
    intermediate_size: Width = 3072
    num_hidden_layers: Depth = 12
    num_attention_heads: Count = 12
    image_size: SidePx = 224
    patch_size: Count = 16
    hidden_act: str = "quick_gelu"
    layer_norm_eps: Epsilon = 1e-5

    def __post_init__(self) -> None:
        if self.hidden_act != "quick_gelu":
            raise ValueError(f"hidden_act {self.hidden_act!r}: CLIP ViT-B/16 is built with quick_gelu alone")
        if self.num_hidden_layers < 2:
            raise ValueError("the second-to-last hidden state needs at least 2 layers")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads do not divide a width of {self.hidden_size}")

    @property
    def patches(self) -> int:
        """Patch tokens of one picture; the class token is not counted."""
        return (self.image_size // self.patch_size) ** 2
