"""Sizes of a CLIP image tower as plain values; no torch.

Source: CLIP (arXiv 2103.00020); field names are those of openai/clip-vit-base-patch16's config.json.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClipImageConfig:
    """The image tower: a CLIP vision transformer. The defaults are ViT-B/16."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 16
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.hidden_act != "quick_gelu":
            raise ValueError(f"hidden_act {self.hidden_act!r}: CLIP ViT-B/16 is built with quick_gelu alone")
        if self.num_hidden_layers < 2:
            raise ValueError("the second-to-last hidden state needs at least 2 layers")

    @property
    def patches(self) -> int:
        """Patch tokens of one picture; the class token is not counted."""
        return (self.image_size // self.patch_size) ** 2
