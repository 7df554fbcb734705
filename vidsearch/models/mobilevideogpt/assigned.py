"""Networks that are built without memory on the meta device and filled by their checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class AssignedModule(nn.Module):
    """A network whose weights, while it has none (device "meta"), are taken from the state dict and not copied.

    Memory-mapped tensors therefore stay memory-mapped. A network that has weights already is filled in place, as usual.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As `torch.nn.Module.load_state_dict`; `assign` is implied where this network stands on the meta device."""
        empty = any(parameter.is_meta for parameter in self.parameters())
        return super().load_state_dict(state_dict, strict=strict, assign=assign or empty)
