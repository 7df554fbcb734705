"""Networks that are built without memory for their weights and filled by a checkpoint.

Drawing 600 million random numbers, only to overwrite them, would take seconds and twice the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class DeferredModule(nn.Module):
    """A network whose weights, while it has none (device "meta"), are taken from the state dict and not copied.

    Memory-mapped tensors therefore stay memory-mapped. A network that has weights already is filled in place, as usual.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As `torch.nn.Module.load_state_dict`; `assign` is implied where this network has no weights yet."""
        empty = any(parameter.is_meta for parameter in self.parameters())
        return super().load_state_dict(state_dict, strict=strict, assign=assign or empty)


@contextmanager
def init_empty_weights() -> Iterator[None]:
    """Networks built in this context have shapes and no weights: they stand on the device "meta"."""
    with torch.device("meta"), _NothingFilled():
        yield


class _NothingFilled(TorchFunctionMode):
    """Leaves out initial values, which change nothing on "meta" and make torch import its compiler (seconds)."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]  # torch.nn.init hands it on by name
        return func(*args, **kwargs)


_FILLS = frozenset(
    (
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.copy_,
        Tensor.fill_,
        Tensor.zero_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.kaiming_uniform_,
    )
)
