"""Sizes of a Qwen2 decoder as plain values; no torch.

Source: Qwen2 (arXiv 2407.10671); field names are those of Qwen2.5-0.5B/1.5B-Instruct's config.json.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """A Qwen2 decoder without RoPE scaling. The defaults are Qwen2.5-0.5B-Instruct."""

    vocab_size: int = 151936
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = True
    max_position_embeddings: int = 32768

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads or self.num_attention_heads % self.num_key_value_heads:
            raise ValueError("hidden_size must divide into the query heads, and these into the key-value heads")

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.hidden_size // self.num_attention_heads
