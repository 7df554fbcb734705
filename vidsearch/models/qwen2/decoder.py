"""The language model: a Qwen2 decoder with a key/value cache that can be wound back, and greedy decoding.

Source: Qwen2 (arXiv 2407.10671) section 2.2; attribute names are those of the Qwen2.5 checkpoints. It is written here
and not taken from a library, because the command needs the head on one position, a cache that keeps a prompt's prefix
between questions, and weights that stay memory-mapped; all that without a large dependency.

Axes: B sequences, L positions asked for, K positions in the cache and asked for, D width, V vocabulary, h head width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.errors import ModelError
from vidsearch.models.deferred import DeferredModule
from vidsearch.models.qwen2.config import LanguageModelConfig

_TIED_HEAD = "lm_head.weight"


class Cache(Protocol):
    """What a decoder asks of the memory of the positions before."""

    length: int

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]: ...

    def advance(self, positions: int) -> None: ...


class KeyValueCache:
    """Keys and values of the positions seen so far, of every layer; memory doubles when it is full.

    `room` is for how many positions there is memory from the beginning on.
    """

    def __init__(self, layers: int, room: int = 0) -> None:
        self._room = room
        self._memory: list[Tensor | None] = [None] * layers  # of each layer (2, B, key-value heads, capacity, h)
        self.length = 0

    def extended(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, L, h) new ones of one layer → (B, H, K, h) all of them; `length` is advanced by `advance`."""
        count = keys.shape[2]
        end = self.length + count
        memory = self._memory[layer]
        if memory is None or memory.shape[3] < end:
            memory = self._memory[layer] = self._grown(memory, keys, end)
        fresh, known = memory.narrow(3, self.length, count), memory.narrow(3, 0, end)
        fresh[0].copy_(keys)
        fresh[1].copy_(values)
        return known[0], known[1]

    def advance(self, positions: int) -> None:
        """Count positions that every layer has taken in."""
        self.length += positions

    def truncate(self, length: int) -> None:
        """Forget the positions from `length` on: a prompt's prefix is kept for the next question."""
        if not 0 <= length <= self.length:
            raise ValueError(f"the cache holds {self.length} positions, not {length}")
        self.length = length

    def _grown(self, memory: Tensor | None, keys: Tensor, needed: int) -> Tensor:
        if memory is None:
            return keys.new_empty(2, *keys.shape[:2], max(needed, self._room), keys.shape[3])
        grown = memory.new_empty(*memory.shape[:3], max(needed, 2 * memory.shape[3]), memory.shape[4])
        grown[:, :, :, : self.length] = memory[:, :, :, : self.length]
        return grown


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
        turns = rotations(self.config, past, length, embeddings)
        mask = causal_mask(past, length, embeddings.device) if past and length > 1 else None
        x = embeddings
        for layer in self.layers:
            x = layer(x, turns, mask, cache)
        if cache:
            cache.advance(length)
        return _normed(x, self.norm)


class CausalLanguageModel(DeferredModule):
    """A decoder with its output head; the embedding table serves as the head where the config ties them."""

    def __init__(self, config: LanguageModelConfig, model: Decoder) -> None:
        super().__init__()
        self.config = config
        self.model = model
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
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
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give token ids or embeddings, one of the two")
        if inputs_embeds is None:
            inputs_embeds = self.model.embed_tokens(input_ids)
        hidden = self.model(inputs_embeds, cache)
        return self._head(hidden[:, -1:] if last_only else hidden)

    @torch.no_grad()
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
        """Greedy continuation of one sequence, token by token; the stop token ends it and is not given.

        `repetition_penalty` acts on tokens generated here and on no others, as in the reference, which generates from
        embeddings. `cache` may hold a prefix; afterwards it also holds the prompt and all tokens given but the last.
        """
        cache = cache or self.new_cache()
        given: list[int] = []
        logits = self(input_ids, inputs_embeds=inputs_embeds, cache=cache, last_only=True)
        while len(given) < max_new_tokens:
            token = int(penalised(logits[0, -1], given, repetition_penalty).argmax())
            if token in stop_ids:
                return
            yield token
            given.append(token)
            if len(given) < max_new_tokens:
                logits = self(torch.tensor([[token]], device=logits.device), cache=cache, last_only=True)

    def new_cache(self) -> KeyValueCache:
        """An empty cache for this network."""
        return KeyValueCache(self.config.num_hidden_layers)

    def _head(self, hidden: Tensor) -> Tensor:
        tied = self.config.tie_word_embeddings
        return F.linear(hidden, self.model.embed_tokens.weight) if tied else self.lm_head(hidden)


class LanguageModel(CausalLanguageModel):
    """Qwen2 alone. Keyword arguments are the fields of LanguageModelConfig."""

    def __init__(self, **config: Any) -> None:
        fields = LanguageModelConfig(**config)
        super().__init__(fields, Decoder(fields))


class _Layer(nn.Module):
    def __init__(self, config: LanguageModelConfig, number: int) -> None:
        super().__init__()
        self.self_attn = _Attention(config, number)
        self.mlp = _Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None) -> Tensor:
        x = x + self.self_attn(_normed(x, self.input_layernorm), turns, mask, cache)
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

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, heads, L, h)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(q, turns), rotated(k, turns)
        if cache:
            k, v = cache.extended(self.number, k, v)
        mixed = self._one_step(q, k, v) if q.shape[2] == 1 else self._attend(q, k, v, mask)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        k, v = (shared.repeat_interleave(self.group, dim=1) for shared in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)

    def _one_step(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """One new position sees all the others: the heads of a group become rows of one product, nothing is copied."""
        grouped = q.reshape(len(q), -1, self.group, self.head_dim)  # (B, key-value heads, group, h)
        return F.scaled_dot_product_attention(grouped, k, v).flatten(1, 2).unsqueeze(2)


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


def rotations(config: LanguageModelConfig, past: int, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin (L, h) of the rotary embedding (arXiv 2104.09864) at positions past … past + L − 1.

    Made for each call and not kept as buffers: a network on the meta device has no values to keep.
    """
    exact = torch.promote_types(like.dtype, torch.float32)
    half = torch.arange(0, config.head_dim, 2, dtype=exact, device=like.device) / config.head_dim
    positions = torch.arange(past, past + length, dtype=exact, device=like.device)
    angles = torch.outer(positions, config.rope_theta**-half).repeat(1, 2)  # (L, h): both halves turn alike
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def rotated(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """(B, heads, L, h): the first half of each head is turned with the second half, not neighbour with neighbour."""
    cos, sin = turns
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def causal_mask(past: int, length: int, device: torch.device) -> Tensor:
    """(L, past + L) bool: each new position sees the past, itself and the new ones before it."""
    return torch.ones(length, past + length, dtype=torch.bool, device=device).tril(past)


def penalised(logits: Tensor, given: list[int], penalty: float) -> Tensor:
    """(V,) logits with those of tokens already given made smaller (CTRL, arXiv 1909.05858, section 4.1)."""
    if penalty == 1.0 or not given:
        return logits
    tokens = torch.tensor(sorted(set(given)), device=logits.device)
    chosen = logits[tokens]
    return logits.index_put((tokens,), torch.where(chosen < 0, chosen * penalty, chosen / penalty))


def _drop_tied_head(module: CausalLanguageModel, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """Accept a file that stores the tied head as well, if it is the embedding table."""
    head = state_dict.pop(prefix + _TIED_HEAD, None)
    table = state_dict.get(prefix + "model.embed_tokens.weight")
    if head is not None and table is not None and head is not table and not torch.equal(head, table):
        raise ModelError(
            "the checkpoint's output head differs from its embedding table, and this model has them tied; "
            "use the checkpoint that belongs to this model"
        )
