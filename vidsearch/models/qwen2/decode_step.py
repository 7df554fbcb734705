"""One token through a decoder with shapes and memory that stay the same from token to token.

A plain step attends to as many keys as there are, so each token brings shapes that were not there before: kernels are
chosen anew, and nothing can be recorded. Here all of the cache's memory is attended to, with what is not yet filled
masked, and where to write comes from the device. Such a step can be captured as a CUDA graph, which starts some 400
kernels as one; `GraphedStep` does, `DecodeStep` runs the same operations one by one and is what tests compare.

Axes: K positions that the cache has memory for, H key-value heads, h head width, V vocabulary; one sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.decoder import CausalLanguageModel, rotary_embedding

_WARM_UP = 2  # runs before the capture: libraries allocate and choose kernels at the first


class DecodeStep:
    """Token and position → logits; writes the position's keys and values into the memory of `cache`."""

    def __init__(self, network: CausalLanguageModel, cache: KeyValueCache) -> None:
        """Of a cache that holds a prompt. What it has memory for and does not hold is set to zero: 0 · NaN is NaN."""
        self._network = network
        self._memory = cache.memory
        for memory in self._memory:
            memory[:, :, :, cache.length :] = 0
        like = self._memory[0]
        capacity = like.shape[3]
        self._token, self._position = (torch.zeros(1, dtype=torch.long, device=like.device) for _ in range(2))
        self._numbers = torch.arange(capacity, device=like.device)
        self._cos, self._sin = rotary_embedding(network.lm_config, 0, capacity, like)  # (K, h) each
        self._visible = torch.zeros(1, capacity, dtype=like.dtype, device=like.device)

    length = 0  # as a `Cache`: positions are counted by the cache whose memory this is

    def fits(self, cache: KeyValueCache) -> bool:
        """Whether this step writes to the memory of `cache`."""
        return len(self._memory) == len(cache.memory) and all(map(_same, self._memory, cache.memory))

    def __call__(self, token: int, position: int) -> Tensor:
        """→ (V,) logits after `token`, which is number `position`, counted from 0; valid until the next call."""
        self._token.fill_(token)
        self._position.fill_(position)
        return self._run()

    def _run(self) -> Tensor:
        return self._forward()

    def _forward(self) -> Tensor:
        model = self._network.model
        cos_sin = (self._cos.index_select(0, self._position), self._sin.index_select(0, self._position))
        hidden = self._numbers > self._position  # (K,)
        mask = self._visible.masked_fill(hidden, float("-inf"))
        x = model.embed_tokens(self._token.unsqueeze(0)).to(self._visible.dtype)  # (1, 1, D)
        for layer in model.layers:
            x = layer(x, cos_sin, mask, self)
        return self._network.head(model.normed(x))[0, -1]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(1, H, 1, h) new ones of one layer → (1, H, K, h): all of its memory."""
        memory = self._memory[layer]
        memory.index_copy_(3, self._position, torch.stack((keys, values)))
        return memory[0], memory[1]

    def advance(self, positions: int) -> None:
        """Nothing: the owner of the memory counts."""


class GraphedStep(DecodeStep):
    """A `DecodeStep` on a CUDA device, captured at its first call and replayed from then on."""

    _graph: torch.cuda.CUDAGraph | None = None

    def _run(self) -> Tensor:
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()
        return self._logits

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._token.device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):  # writes the same keys and values each time
                    self._forward()
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                self._logits = self._forward()
        self._graph = graph


def step_for(network: CausalLanguageModel, cache: KeyValueCache) -> DecodeStep:
    """The step that is fastest where the cache's memory is."""
    return (GraphedStep if cache.memory[0].device.type == "cuda" else DecodeStep)(network, cache)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape
