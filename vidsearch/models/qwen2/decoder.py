"""The language model: a Qwen2 decoder with its output head.

Source: Qwen2 (arXiv 2407.10671) section 2.2; attribute names are those of the Qwen2.5 checkpoints. It is written here
and not taken from a library, because the command needs the head on one position, a cache that keeps a prompt's prefix
between questions, and weights that stay memory-mapped; all that without a large dependency.

Axes: B sequences, L positions asked for, K positions in the cache and asked for, D width, V vocabulary, h head width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.errors import ModelError
from vidsearch.models.deferred import DeferredModule
from vidsearch.models.qwen2.cache import Cache, KeyValueCache
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.generation import Generation
from vidsearch.models.qwen2.sampler import Sampler

_TIED_HEAD = "lm_head.weight"


class Decoder(nn.Module):
    """Embeddings → hidden states: the network without its output head."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config, number) for number in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, embeddings: Tensor, cache: Cache | None = None) -> Tensor:
        """(B, L, D) → (B, L, D) after the final norm; positions go on from the cache's length, which is advanced."""
        length = embeddings.shape[1]
        past = cache.length if cache else 0
        cos_sin = rotary_embedding(self.config, past, length, embeddings)
        mask = causal_mask(past, length, embeddings.device) if past and length > 1 else None
        x = embeddings
        for layer in self.layers:
            x = layer(x, cos_sin, mask, cache)
        if cache:
            cache.advance(length)
        return self.normed(x)

    def normed(self, x: Tensor) -> Tensor:
        """The final norm."""
        return _normed(x, self.norm)


class CausalLanguageModel(DeferredModule):
    """A decoder with its output head; the embedding table serves as the head if the config ties them."""

    def __init__(self, lm_config: LanguageModelConfig, model: Decoder) -> None:
        super().__init__()
        self.lm_config = lm_config
        self.model = model
        if not lm_config.tie_word_embeddings:
            self.lm_head = nn.Linear(lm_config.hidden_size, lm_config.vocab_size, bias=False)
        else:
            self.register_load_state_dict_pre_hook(_drop_tied_head)  # type: ignore[no-untyped-call]  # torch's own gap

    def forward(
        self,
        input_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Token ids (B, L), or embeddings (B, L, D) instead → logits (B, L, V), or (B, 1, V) of the last position."""
        hidden = self.model(self._embeddings(input_ids, inputs_embeds), cache)
        return self.head(hidden[:, -1:] if last_only else hidden)

    def generate(
        self,
        input_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        cache: KeyValueCache | None = None,
        max_new_tokens: int = 1024,
        stop_ids: Collection[int] = (),
        repetition_penalty: float = 1.0,
    ) -> Iterator[int]:
        """Greedy continuation of one sequence, given as token ids (1, L) or as embeddings (1, L, D), token by token.

        `repetition_penalty` acts on tokens generated here and on no others, as in the reference, which generates from
        embeddings. `cache` may hold a prefix; afterwards it also holds the prompt and all tokens given but the last.
        """
        generation = Generation(
            self,
            self._embeddings(input_ids, inputs_embeds),
            cache or self.new_cache(),
            Sampler(repetition_penalty=repetition_penalty),
            stop_ids=stop_ids,
            max_new_tokens=max_new_tokens,
            context=self.lm_config.max_position_embeddings,
        )
        return iter(generation)

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token ids (L,) → (1, L, D)."""
        table: nn.Embedding = self.model.embed_tokens
        return table(torch.tensor([list(ids)], dtype=torch.long, device=table.weight.device))

    def logits(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        """(1, L, D) after the cache's positions → (V,) of the last one; the cache takes all of them in."""
        return self(inputs_embeds=embeddings, cache=cache, last_only=True)[0, -1]

    def next_logits(self, token: int, cache: KeyValueCache) -> Tensor:
        """As `logits` of one token."""
        return self.logits(self.embed([token]), cache)

    def new_cache(self) -> KeyValueCache:
        """An empty cache for this network."""
        return KeyValueCache(self.lm_config.num_hidden_layers)

    def _embeddings(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give token ids or embeddings, one of the two")
        return self.model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds

    def head(self, hidden: Tensor) -> Tensor:
        """(…, D) after the final norm → (…, V) logits."""
        tied = self.lm_config.tie_word_embeddings
        return F.linear(hidden, self.model.embed_tokens.weight) if tied else self.lm_head(hidden)


class LanguageModel(CausalLanguageModel):
    """Qwen2 alone. Keyword arguments are the fields of LanguageModelConfig."""

    def __init__(self, **config: Any) -> None:
        lm_config = LanguageModelConfig(**config)
        super().__init__(lm_config, Decoder(lm_config))
        self.config = lm_config  # the whole of this network is the language model


class _Layer(nn.Module):
    def __init__(self, config: LanguageModelConfig, number: int) -> None:
        super().__init__()
        self.self_attn = _Attention(config, number)
        self.mlp = _Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None) -> Tensor:
        x = x + self.self_attn(_normed(x, self.input_layernorm), cos_sin, mask, cache)
        return x + self.mlp(_normed(x, self.post_attention_layernorm))


class _Attention(nn.Module):
    """Grouped-query attention: several query heads share one head of keys and values."""

    def __init__(self, config: LanguageModelConfig, number: int) -> None:
        super().__init__()
        self.number = number
        self.group = config.num_attention_heads // config.num_key_value_heads
        self.head_dim = config.head_dim
        width, shared = config.hidden_size, config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, shared)
        self.v_proj = nn.Linear(width, shared)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, heads, L, h)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = apply_rotary(q, cos_sin), apply_rotary(k, cos_sin)
        if cache:
            k, v = cache.update(self.number, k, v)
        mixed = self._one_step(q, k, v, mask) if q.shape[2] == 1 else self._attend(q, k, v, mask)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        k, v = (shared.repeat_interleave(self.group, dim=1) for shared in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)

    def _one_step(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """One new position sees all the others: the heads of a group become rows of one product, nothing is copied.

        `mask` (1, K) is 0 for what is seen and −∞ for the rest of a cache's memory (`decode_step.py`). It is added
        between two plain products: a fused kernel gives each head to one processor of a GPU, and there are two heads.
        """
        grouped = q.reshape(len(q), -1, self.group, self.head_dim)  # (B, key-value heads, group, h)
        if mask is None:
            return F.scaled_dot_product_attention(grouped, k, v).flatten(1, 2).unsqueeze(2)
        scores = grouped @ k.transpose(-1, -2) * self.head_dim**-0.5 + mask
        weights = torch.softmax(scores, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(v.dtype)
        return (weights @ v).flatten(1, 2).unsqueeze(2)


class _Mlp(nn.Module):
    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def _normed(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    """RMS norm, the mean square in float32 or wider."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return F.rms_norm(wide, norm.normalized_shape, None, norm.eps).to(x.dtype) * norm.weight


def rotary_embedding(config: LanguageModelConfig, past: int, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (L, h) of the rotary embedding (arXiv 2104.09864) at positions past … past + L − 1.

    Made for each call and not kept as buffers: a network on the meta device has no values to keep.
    """
    exact = torch.promote_types(like.dtype, torch.float32)
    half = torch.arange(0, config.head_dim, 2, dtype=exact, device=like.device) / config.head_dim
    positions = torch.arange(past, past + length, dtype=exact, device=like.device)
    angles = torch.outer(positions, config.rope_theta**-half).repeat(1, 2)  # (L, h): both halves turn alike
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def apply_rotary(x: Tensor, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
    """(B, heads, L, h): the first half of each head is turned with the second half, not neighbour with neighbour."""
    cos, sin = cos_sin
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def causal_mask(past: int, length: int, device: torch.device) -> Tensor:
    """(L, past + L) bool: each new position sees the past, itself and the new ones before it."""
    return torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)


def _drop_tied_head(module: CausalLanguageModel, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """Accept a file that stores the tied head as well, if it is the embedding table."""
    head = state_dict.pop(prefix + _TIED_HEAD, None)
    table = state_dict.get(prefix + "model.embed_tokens.weight")
    if head is not None and table is not None and head is not table and not torch.equal(head, table):
        raise ModelError(
            "the checkpoint's output head differs from its embedding table, and this model has them tied; "
            "use the checkpoint that belongs to this model"
        )
