"""The decode loop: why it ends, what the cache holds afterwards; the sampler."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.generation import Generation
from vidsearch.models.qwen2.sampler import Sampler, apply_repetition_penalty


class Counter:
    """A backend whose likeliest token is the number of positions so far: its answers are known beforehand."""

    def embed(self, ids: Sequence[int]) -> Tensor:
        return torch.zeros(1, len(ids), 2)

    def logits(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        cache.advance(embeddings.shape[1])
        return torch.nn.functional.one_hot(torch.tensor(cache.length), 100).float()

    def next_logits(self, token: int, cache: KeyValueCache) -> Tensor:
        return self.logits(self.embed([token]), cache)


def generation(cache: KeyValueCache, *, stop: int = 99, limit: int = 50, context: int = 90) -> Generation:
    prompt = torch.zeros(1, 4, 2)
    return Generation(
        Counter(), prompt, cache, Sampler(), stop_ids={stop}, max_new_tokens=limit, context=context, unread=[7]
    )


@pytest.mark.parametrize(
    ("limits", "tokens", "reason", "held"),
    [
        ({"stop": 7}, [4, 5, 6], "stop", 7),
        ({"limit": 3}, [4, 5, 6], "length", 6),
        ({"context": 6}, [4, 5, 6], "context", 6),
        ({"stop": 4}, [], "stop", 4),
        ({"limit": 0}, [], "length", 4),
    ],
)
def test_why_an_answer_ends(limits: dict[str, int], tokens: list[int], reason: str, held: int) -> None:
    cache = KeyValueCache(1)
    answer = generation(cache, **limits)
    assert list(answer) == tokens
    assert (answer.finish_reason, answer.tokens, cache.length) == (reason, len(tokens), held)
    assert answer.unread == ([] if held == 4 + len(tokens) else tokens[-1:])


def test_an_answer_that_is_left_is_interrupted_and_its_last_token_unread() -> None:
    cache = KeyValueCache(1)
    answer = generation(cache)
    assert answer.unread == [7]  # of the answer before, until the prompt is read
    tokens = iter(answer)
    assert [next(tokens), next(tokens)] == [4, 5]
    tokens.close()  # type: ignore[attr-defined]  # a generator
    assert (answer.finish_reason, answer.tokens, answer.unread, cache.length) == ("interrupted", 2, [5], 5)


def test_a_sampler_draws_by_the_temperature_and_again_from_a_seed() -> None:
    logits = torch.linspace(0, 2, 50)
    drawn = [[Sampler(temperature=1.0, seed=seed)(logits) for _ in range(3)] for seed in range(8)]
    assert all(len(set(again)) == 1 for again in drawn)  # the same seed, the same token
    assert len({again[0] for again in drawn}) > 3
    assert Sampler(temperature=1e-4, seed=0)(logits) == Sampler()(logits) == 49


def test_the_penalty_divides_what_is_positive_and_multiplies_what_is_negative() -> None:
    logits = torch.tensor([2.0, -1.0, 4.0, -3.0])
    assert apply_repetition_penalty(logits, [0, 1, 0], 2.0).tolist() == [1.0, -2.0, 4.0, -3.0]
    assert apply_repetition_penalty(logits, [], 2.0) is logits
    sampler = Sampler(repetition_penalty=3.0)
    assert [sampler(logits) for _ in range(3)] == [2, 0, 2]
