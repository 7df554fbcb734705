"""What a network computes on its way, by the names of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn


def run_with_stages(root: nn.Module, names: list[str], run: Callable[[], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """The result of `run` and, for each named part of `root`, what it returned meanwhile."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    hooks = [root.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        return run(), seen
    finally:
        for hook in hooks:
            hook.remove()


def assert_stage(output: Tensor, stage: dict[str, Any], name: str) -> None:
    """Mean, standard deviation and 16 sampled values; the stated tolerance is 1e-4 of the stage's deviation."""
    values = output.contiguous().numpy()
    allowed = 1e-4 * stage["std"]
    assert list(values.shape) == stage["shape"], name
    np.testing.assert_allclose(values.ravel()[stage["idx"]], stage["val"], rtol=0, atol=allowed, err_msg=name)
    np.testing.assert_allclose(
        [values.mean(dtype=np.float64), values.std(dtype=np.float64)],
        [stage["mean"], stage["std"]],
        rtol=0,
        atol=allowed,
        err_msg=name,
    )
