"""The language model of an answerer on its device: embeddings in, logits of the last position out.

On a CPU its weights are packed (`models/qwen2/packed.py`); on an accelerator the network runs as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vidsearch.answering.interface import ComputePrecision
from vidsearch.answering.mobilevideogpt.packed_layouts import layouts_for
from vidsearch.errors import VidsearchError
from vidsearch.models.device import fast_dtype
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.decode_step import DecodeStep, step_for
from vidsearch.models.qwen2.generation import Backend
from vidsearch.models.qwen2.joined_layers import join_layers
from vidsearch.models.qwen2.joined_prompt import prompt_logits
from vidsearch.models.qwen2.linears import WeightFormat, activation_dtype
from vidsearch.models.qwen2.packed import PackedLanguageModel
from vidsearch.models.weights import read_some

# Without cuDNN's, which builds a plan for every number of keys: 21 tokens a second where the others gave 82 on an H100.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

_SCRATCH = 16  # positions
NARROW = 512  # widths below this spend their time between the multiplications: bfloat16 would gain nothing there


class LMBackend(Backend, Protocol):
    """A language model ready to run, in a precision."""

    dtype: torch.dtype  # of its activations
    weights: WeightFormat
    keeps_network: bool  # all of it may stay on the device; else encoders are read when they are needed


def open_lm_backend(
    folder: ModelFolder, network: MobileVideoGPT, device: torch.device, precision: ComputePrecision
) -> LMBackend:
    """The language model of a folder. `network` is that of the folder, its tensors still mapped from the file.

    VidsearchError for a precision that does not run on the device.
    """
    weights = choose_weights(precision, device, network.lm_config.hidden_size)
    if device.type == "cpu":
        return PackedBackend(folder, network, weights)
    if weights == "int8":
        raise VidsearchError(f"--dtype int8 runs on a CPU alone, not on {device}; choose bfloat16")
    return DeviceBackend(network, device, weights)


def choose_weights(precision: ComputePrecision, device: torch.device, width: int) -> WeightFormat:
    """What "auto" stands for: bfloat16 if the device multiplies it fast and the network is wide enough to gain."""
    if precision != "auto":
        return precision
    return "bfloat16" if width >= NARROW and fast_dtype(device) is torch.bfloat16 else "float32"


@contextmanager
def without_cudnn(device: torch.device) -> Iterator[None]:
    """torch's own convolutions and attention: the encoders have few of them, and to load cuDNN takes a second."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(_ATTENTION):
        yield


class PackedBackend:
    """An `LMBackend` for a CPU: packed weights."""

    keeps_network = False

    def __init__(self, folder: ModelFolder, network: MobileVideoGPT, weights: WeightFormat) -> None:
        self.weights = weights
        self._table = network.model.embed_tokens.weight  # stays in the file: a question needs a few rows of it
        config = network.lm_config
        layouts = layouts_for(config, weights)
        self.packed = PackedLanguageModel(config, partial(read_some, folder.weights), weights, layouts)
        self.dtype = self.packed.dtype

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> Tensor:
        return self._table[torch.tensor(ids, dtype=torch.long)].to(self.dtype).unsqueeze(0)

    def logits(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        return self.packed(embeddings, cache)

    def next_logits(self, token: int, cache: KeyValueCache) -> Tensor:
        return self.packed(self.embed([token]), cache)


class DeviceBackend:
    """An `LMBackend` for an accelerator: the network itself, its language model moved there.

    A token goes through a step of fixed shapes, on CUDA a captured graph (`models/qwen2/decode_step.py`).
    """

    keeps_network = True

    def __init__(self, network: MobileVideoGPT, device: torch.device, weights: WeightFormat) -> None:
        self.weights = weights
        self.dtype = activation_dtype(weights)
        self._network = network
        self._step: DecodeStep | None = None  # of the cache that was used last
        for part in (network.model.embed_tokens, network.model.layers, network.model.norm):
            part.to(device, self.dtype)
        if not network.lm_config.tie_word_embeddings:
            network.lm_head.to(device, self.dtype)
        self._layers = join_layers(network)
        self._kernels: Future[None] | None = None

    def load_kernels(self, executor: Executor) -> None:
        """Have the kernels of a step read, or compiled, in the background: the second token of an answer needs them."""
        if self._kernels is None:
            self._kernels = executor.submit(self._step_once)

    @torch.inference_mode()
    def _step_once(self) -> None:
        """A step over memory that nobody needs."""
        config = self._network.lm_config
        cache = KeyValueCache(config.num_hidden_layers, _SCRATCH)
        self.logits(self.embed([0]), cache)
        step_for(self._network, self._layers, cache).run_once()

    @torch.inference_mode()
    def embed(self, ids: Sequence[int]) -> Tensor:
        return self._network.embed(ids)

    @torch.inference_mode()
    def logits(self, embeddings: Tensor, cache: KeyValueCache) -> Tensor:
        with sdpa_kernel(_ATTENTION):
            return prompt_logits(self._network, self._layers, embeddings, cache)

    @torch.inference_mode()
    def next_logits(self, token: int, cache: KeyValueCache) -> Tensor:
        logits = self._step_for(cache, 1)(token, cache.length)
        cache.advance(1)
        return logits

    @torch.inference_mode()
    def greedy_tokens(
        self, prompt: Tensor, cache: KeyValueCache, *, repetition_penalty: float, most: int
    ) -> Iterator[int]:
        """See `GreedyBackend`. While a token is read, the step after it already runs; its last one is for nothing."""
        logits = self.logits(prompt, cache)
        step = self._step_for(cache, most + 1)
        yield step.begin(logits, cache.length, repetition_penalty)
        ahead = step.advance()
        while True:
            following = step.advance()
            token = ahead()
            cache.advance(1)
            yield token
            ahead = following

    def _step_for(self, cache: KeyValueCache, more: int) -> DecodeStep:
        """The step for a cache with memory for so many positions more."""
        if self._kernels is not None:
            self._kernels.result()  # nothing else may use the device while a graph is captured
        cache.reserve(cache.length + more)
        if self._step is None or not self._step.fits(cache):
            self._step = step_for(self._network, self._layers, cache)
        return self._step
