"""Sizes of a Qwen2 decoder as plain values; no torch.

Source: Qwen2 (arXiv 2407.10671); field names are those of Qwen2.5-0.5B/1.5B-Instruct's config.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vidsearch.models.schema import Count, Depth, Epsilon, Width, Within


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """A Qwen2 decoder without RoPE scaling. The defaults are Qwen2.5-0.5B-Instruct."""

    vocab_size: Annotated[int, Within(1, 1 << 20)] = 151936
    hidden_size: Width = 896
    intermediate_size: Width = 4864
    num_hidden_layers: Depth = 24
    num_attention_heads: Count = 14
    num_key_value_heads: Count = 2
    rope_theta: Annotated[float, Within(1, 1e12)] = 1_000_000.0
    rms_norm_eps: Epsilon = 1e-6
    tie_word_embeddings: bool = True
    max_position_embeddings: Annotated[int, Within(1, 1 << 20)] = 32768

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("hidden_size must divide into the query heads, and these into the key-value heads")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.hidden_size // self.num_attention_heads
