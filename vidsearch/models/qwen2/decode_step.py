"""One token through a decoder with shapes and memory that stay the same, from the token before to the token after.

A plain step attends to as many keys as there are, so each token brings shapes that were not there before: kernels are
chosen anew, and nothing can be recorded. Here all of the cache's memory may be attended to, with what is not yet filled
masked; where to write, and which token goes in, comes from the device, and so does the choice of the next one. Such a
step can be captured as a CUDA graph, which starts some 200 kernels as one and never waits for Python: `GraphedStep`
does, and starts the next step before it looks at the last one's token. `DecodeStep` runs the same operations one by one
and is what tests compare.

Axes: K positions that the cache has memory for, V vocabulary, D width; one sequence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vidsearch.models.qwen2.cache import KeyValueCache
from vidsearch.models.qwen2.decoder import CausalLanguageModel
from vidsearch.models.qwen2.joined_layers import JoinedLayer
from vidsearch.models.qwen2.step_operations import StepOperations, TorchOperations

log = logging.getLogger(__name__)

ReadToken = Callable[[], int]


class DecodeStep:
    """Writes each position's keys and values into the memory of one cache."""

    def __init__(self, network: CausalLanguageModel, layers: Sequence[JoinedLayer], cache: KeyValueCache) -> None:
        """Of a cache that holds a prompt. What it has memory for and does not hold is set to zero: 0 · NaN is NaN.

        `layers` are those of the network (`join_layers`).
        """
        self._network, self._layers = network, layers
        self._memory = cache.memory
        for memory in self._memory:
            memory[:, :, :, cache.length :] = 0
        like = self._memory[0]
        config = network.lm_config
        self._table = network.model.embed_tokens.weight.detach()
        self._head = self._table if config.tie_word_embeddings else network.lm_head.weight.detach()
        self._norm = network.model.norm.weight.detach()
        self._operations = self._make_operations(like)
        self._token, self._position = (torch.zeros(1, dtype=torch.long, device=like.device) for _ in range(2))
        self._penalty = torch.ones((), device=like.device)
        self._given = torch.zeros(config.vocab_size, dtype=torch.bool, device=like.device)

    def run_once(self) -> None:
        """Have every kernel loaded, compiled where it was not yet."""
        self._run()

    def fits(self, cache: KeyValueCache) -> bool:
        """Whether this step writes to the memory of `cache`."""
        return len(self._memory) == len(cache.memory) and all(map(_same, self._memory, cache.memory))

    def __call__(self, token: int, position: int) -> Tensor:
        """→ (V,) logits after `token`, which is number `position`, counted from 0; valid until the next call."""
        self._token.fill_(token)
        self._position.fill_(position)
        self._run()
        return self._logits

    def begin(self, logits: Tensor, position: int, penalty: float) -> int:
        """Choose the first token of an answer from (V,) logits; it will be number `position`."""
        self._position.fill_(position)
        self._penalty.fill_(penalty)
        self._given.zero_()
        self._choose(logits)
        return int(self._token)

    def advance(self) -> ReadToken:
        """Put the token chosen last into the memory and choose the next one; what is returned waits for it."""
        self._run()
        token = self._token.clone()
        return lambda: int(token)

    def _make_operations(self, like: Tensor) -> StepOperations:
        return TorchOperations(self._network.lm_config, like.shape[3], like)

    def _run(self) -> None:
        """The token and its position → logits, the token likeliest after it, and the position after it."""
        self._logits = self._forward()
        self._choose(self._logits)
        self._position += 1

    def _forward(self) -> Tensor:
        run = self._operations
        x = self._table.index_select(0, self._token)  # (1, D)
        for layer, memory in zip(self._layers, self._memory, strict=True):
            states = run.linear(x, layer.qkv, bias=layer.qkv_bias, norm=layer.before_attention)
            x = run.add_linear(run.attend(states, memory, self._position), layer.out, x)
            x = run.add_linear(run.gated(x, layer.gate_up, layer.before_mlp), layer.down, x)
        return run.linear(x, self._head, norm=self._norm)[0]

    def _choose(self, logits: Tensor) -> None:
        """The likeliest token, those of this answer made less likely: `apply_repetition_penalty`, on the device."""
        logits = logits.float()
        smaller = torch.where(logits < 0, logits * self._penalty, logits / self._penalty)
        self._token.copy_(torch.where(self._given, smaller, logits).argmax(0, keepdim=True))
        self._given.index_fill_(0, self._token, True)


class GraphedStep(DecodeStep):
    """A `DecodeStep` on a CUDA device, captured at its first run and replayed from then on."""

    _graph: torch.cuda.CUDAGraph | None = None

    def advance(self) -> ReadToken:
        """See `DecodeStep.advance`: the token comes by one small copy, while the next step may already run."""
        self._run()
        token = torch.empty(1, dtype=torch.long, pin_memory=True)
        token.copy_(self._token, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        copied.record()

        def read() -> int:
            copied.synchronize()
            return int(token)

        return read

    def run_once(self) -> None:
        """See `DecodeStep.run_once`. Where Triton fails, torch's operations take over."""
        with torch.cuda.device(self._token.device):  # Triton's kernels run on the current one
            try:
                super()._run()
            except Exception as error:  # of Triton, which needs a C compiler once
                if isinstance(self._operations, TorchOperations):
                    raise
                log.warning("decoding without kernels of its own, more slowly: %s", error)
                self._operations = super()._make_operations(self._memory[0])
                super()._run()

    def _make_operations(self, like: Tensor) -> StepOperations:
        try:
            from vidsearch.models.qwen2.step_kernels import KernelOperations
        except ImportError:  # Triton comes with torch on Linux alone
            return super()._make_operations(like)
        return KernelOperations(self._network.lm_config, like.shape[3], like)

    def _run(self) -> None:
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()

    def _capture(self) -> None:
        """Runs before the capture write the same keys and values; what the choice changes is put back."""
        kept = [tensor.clone() for tensor in self._state]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._token.device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.run_once()
                self._put_back(kept)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                super()._run()
        self._put_back(kept)
        self._graph = graph

    @property
    def _state(self) -> tuple[Tensor, ...]:
        """What a run changes beside keys and values."""
        return self._token, self._position, self._given

    def _put_back(self, kept: Sequence[Tensor]) -> None:
        for tensor, before in zip(self._state, kept, strict=True):
            tensor.copy_(before)


def step_for(network: CausalLanguageModel, layers: Sequence[JoinedLayer], cache: KeyValueCache) -> DecodeStep:
    """The step that is fastest where the cache's memory is."""
    kind = GraphedStep if cache.memory[0].device.type == "cuda" else DecodeStep
    return kind(network, layers, cache)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape
