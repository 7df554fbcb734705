"""Questions about one encoded clip: the prompt's keys and values are kept from one question to the next.

Axes: V visual tokens, L positions, d the language model's width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vidsearch.answering.interface import EncodedClip, GenerationOptions
from vidsearch.answering.mobilevideogpt.lm_backend import LMBackend
from vidsearch.answering.mobilevideogpt.tokenizer import ChatTokenizer, GenerationRules
from vidsearch.errors import VidsearchError
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.qwen2.generation import Generation
from vidsearch.models.qwen2.sampler import Sampler
from vidsearch.records import FinishReason

_QUESTION_CAPACITY = 512  # positions that a question and its answer have memory for from the beginning

_WHOLE = 16  # positions of a cache's memory are a multiple of this: kernels are compiled for it once


@dataclass(frozen=True, slots=True)
class ChatModel:
    """The language side of an answerer, which all its sessions share."""

    name: str
    config: LanguageModelConfig
    tokenizer: ChatTokenizer
    rules: GenerationRules
    backend: LMBackend
    device: torch.device


class MobileVideoGPTSession:
    """A `ClipSession`: visual tokens, and the keys and values of all that precedes the question, once it is known."""

    def __init__(self, chat: ChatModel, clip: EncodedClip, visual: Tensor) -> None:
        """`visual` (V, d), on any device."""
        self.clip = clip
        self._chat = chat
        self._visual = visual
        self._before = chat.tokenizer.before_frames()
        self._prefix = len(self._before) + len(visual)  # positions before the question: the same for every one
        capacity = -(-(self._prefix + _QUESTION_CAPACITY) // _WHOLE) * _WHOLE
        self._cache = KeyValueCache(chat.config.num_hidden_layers, capacity)
        self._answer: Generation | None = None  # the last one

    @property
    def tokens(self) -> int:
        """See `ClipSession.tokens`."""
        return self._answer.tokens if self._answer else 0

    @property
    def finish_reason(self) -> FinishReason:
        """See `ClipSession.finish_reason`."""
        return self._answer.finish_reason if self._answer else "interrupted"

    def ask(self, question: str, options: GenerationOptions, *, keep_history: bool = False) -> Iterator[str]:
        """See `ClipSession.ask`."""
        tokenizer = self._chat.tokenizer
        unread = self._answer.unread if self._answer else []
        if keep_history and self._cache.length > self._prefix:
            ids = [*unread, *tokenizer.next_turn(question)]
        else:
            ids = tokenizer.after_frames(question)
            self._cache.crop(min(self._prefix, self._cache.length))  # shorter if the first prompt was interrupted
        self._check_capacity(len(ids))
        self._answer = Generation(
            self._chat.backend,
            self._prompt(ids),
            self._cache,
            self._sampler(options),
            stop_ids=self._chat.rules.stop_ids,
            max_new_tokens=options.max_new_tokens,
            context=self._chat.config.max_position_embeddings,
            unread=unread,
        )
        yield from tokenizer.pieces(self._answer)

    def _sampler(self, options: GenerationOptions) -> Sampler:
        penalty = self._chat.rules.repetition_penalty
        return Sampler(temperature=options.temperature, repetition_penalty=penalty, seed=options.seed)

    def _prompt(self, ids: list[int]) -> Tensor:
        """(1, L, d): `ids`, and before the first question all that precedes it."""
        embed = self._chat.backend.embed
        text = embed(ids)
        if self._cache.length:
            return text
        visual = self._visual.to(self._chat.device, self._chat.backend.dtype).unsqueeze(0)
        return torch.cat((embed(self._before), visual, text), dim=1)

    def _check_capacity(self, length: int) -> None:
        """VidsearchError if the model cannot take so many positions more; those before the question always count."""
        limit = self._chat.config.max_position_embeddings
        if length >= limit - max(self._cache.length, self._prefix):
            raise VidsearchError(
                f"{self._chat.name} takes {limit} tokens, the clip's {self._prefix} included, and "
                "what was said is longer; ask a shorter question, or begin a new conversation."
            )
