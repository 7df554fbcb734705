"""The decode loop: a prompt's embeddings → tokens, one by one, and why they ended.

Axes: L positions, d the language model's width, V vocabulary; one sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.sampler import Sampler
from vidsearch.records import FinishReason


class Backend(Protocol):
    """A language model ready to run."""

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token ids (L,) → (1, L, d)."""
        ...

    def logits(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        """(1, L, d) after the cache's positions → (V,) of the last one; the cache takes all of them in."""
        ...

    def next_logits(self, token: int, cache: KeyValueCache) -> Tensor:
        """The same for one token after the cache's positions, of which there are some; valid until the next call."""
        ...


@runtime_checkable
class GreedyBackend(Backend, Protocol):
    """A backend that also chooses the likeliest tokens itself, without one step waiting for another's token."""

    def greedy_tokens(
        self, prompt: Tensor, cache: KeyValueCache, *, repetition_penalty: float, most: int
    ) -> Iterator[int]:
        """As `_sampled` with a greedy sampler, for at most so many tokens."""
        ...


class Generation:
    """The tokens of one answer as they are chosen; iterate it once. A stop token ends it and is not given.

    Leaving it in the middle is allowed: `finish_reason` is then "interrupted", and the cache holds the prompt and the
    tokens so far but for those `unread`.
    """

    def __init__(
        self,
        backend: Backend,
        prompt: Tensor,
        cache: KeyValueCache,
        sampler: Sampler,
        *,
        stop_ids: Collection[int],
        max_new_tokens: int,
        context: int,
        unread: Sequence[int] = (),
    ) -> None:
        """`prompt` (1, L, d) follows what the cache holds; the model takes `context` positions in all.

        `unread`: what an answer before left unread, until this prompt is in the cache.
        """
        self.finish_reason: FinishReason = "interrupted"
        self.tokens = 0  # given so far
        self.unread = list(unread)  # the last token given, if the cache does not hold it
        self._backend, self._prompt, self._cache, self._sampler = backend, prompt, cache, sampler
        self._stop_ids, self._max_new_tokens, self._context = stop_ids, max_new_tokens, context

    @torch.no_grad()
    def __iter__(self) -> Iterator[int]:
        for token in self._chosen():
            self.unread = []
            if token in self._stop_ids:
                self.finish_reason = "stop"
                return
            self.tokens += 1
            self.unread = [token]
            yield token
            if self._cache.length >= self._context:
                self.finish_reason = "context"
                return
            if self.tokens >= self._max_new_tokens:
                break
        self.finish_reason = "length"

    def _chosen(self) -> Iterator[int]:
        """The tokens after the prompt; whoever wants the next one has the one before put into the cache."""
        if self._max_new_tokens < 1:
            self._backend.logits(self._prompt, self._cache)
            self.unread = []
            return iter(())
        backend, sampler = self._backend, self._sampler
        if sampler.greedy and isinstance(backend, GreedyBackend):
            most = min(self._max_new_tokens, max(1, self._context - self._cache.length))
            return backend.greedy_tokens(
                self._prompt, self._cache, repetition_penalty=sampler.repetition_penalty, most=most
            )
        return _sampled(backend, self._prompt, self._cache, sampler)


def _sampled(backend: Backend, prompt: Tensor, cache: KeyValueCache, sampler: Sampler) -> Iterator[int]:
    """Tokens without end."""
    logits = backend.logits(prompt, cache)
    while True:
        token = sampler(logits)
        yield token
        logits = backend.next_logits(token, cache)
