"""The language model on an accelerator against the packed one on a CPU; both run here on a CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from asking_model import CONFIG, make_answering_folder

from vidsearch.answering.mobilevideogpt.lm_backend import DeviceBackend, LMBackend, PackedBackend
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.generation import Generation
from vidsearch.models.qwen2.sampler import Sampler

PROMPT = [1, 5, 9, 20, 21, 22]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return make_answering_folder(tmp_path_factory.mktemp("backend") / "mobilevideogpt-0.5b")


@pytest.fixture(params=[1, 64], ids=["memory that grows", "memory for all"])
def cache(request: pytest.FixtureRequest) -> Iterator[KeyValueCache]:
    yield KeyValueCache(CONFIG.language_model.num_hidden_layers, request.param)


def answer(backend: LMBackend, cache: KeyValueCache, prompt: list[int] = PROMPT) -> list[int]:
    sampler = Sampler(repetition_penalty=1.3)
    tokens = Generation(backend, backend.embed(prompt), cache, sampler, stop_ids={2}, max_new_tokens=20, context=300)
    return list(tokens)


def test_words_and_cache_are_those_of_the_packed_model(folder: ModelFolder, cache: KeyValueCache) -> None:
    device = DeviceBackend(load_language_model(folder), torch.device("cpu"), "float32")
    packed = PackedBackend(folder, load_language_model(folder), "float32")
    other = KeyValueCache(CONFIG.language_model.num_hidden_layers)
    for _ in range(2):  # a conversation: the second prompt follows the first answer
        given = answer(device, cache)
        assert given == answer(packed, other) != []
        assert cache.length == other.length
    cache.crop(4)
    other.crop(4)
    assert answer(device, cache, [7, 8]) == answer(packed, other, [7, 8])


def test_two_clips_in_turn_keep_apart(folder: ModelFolder) -> None:
    """Each session has a cache of its own, and one step serves whichever is asked about."""
    device = DeviceBackend(load_language_model(folder), torch.device("cpu"), "float32")
    one, other = (KeyValueCache(CONFIG.language_model.num_hidden_layers, 64) for _ in range(2))
    first, second = answer(device, one), answer(device, other, PROMPT[::-1])
    assert first != second
    one.crop(0)
    other.crop(0)
    assert (answer(device, one), answer(device, other, PROMPT[::-1])) == (first, second)
