"""Logits → the next token."""

from __future__ import annotations

import torch
from torch import Tensor


class Sampler:
    """Chooses the tokens of one answer: the likeliest, or one drawn at a temperature."""

    def __init__(self, *, temperature: float = 0.0, repetition_penalty: float = 1.0, seed: int | None = None) -> None:
        """`temperature` 0 is greedy. `seed` None draws differently each time."""
        self._temperature = temperature
        self.repetition_penalty = repetition_penalty
        self._given: list[int] = []
        self._generator = torch.Generator()
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    @property
    def greedy(self) -> bool:
        """Whether it always chooses the likeliest token."""
        return self._temperature == 0

    def __call__(self, logits: Tensor) -> int:
        """(V,) → a token. The penalty acts on tokens of this answer alone, as in the reference."""
        logits = apply_repetition_penalty(logits, self._given, self.repetition_penalty)
        if self.greedy:
            token = int(logits.argmax())
        else:
            chances = torch.softmax(logits.float().cpu() / self._temperature, dim=-1)
            token = int(torch.multinomial(chances, 1, generator=self._generator))
        self._given.append(token)
        return token


def apply_repetition_penalty(logits: Tensor, given: list[int], penalty: float) -> Tensor:
    """(V,) logits with those of tokens already given made smaller (CTRL, arXiv 1909.05858, section 4.1)."""
    if penalty == 1.0 or not given:
        return logits
    tokens = torch.tensor(sorted(set(given)), device=logits.device)
    chosen = logits[tokens]
    return logits.index_put((tokens,), torch.where(chosen < 0, chosen * penalty, chosen / penalty))
