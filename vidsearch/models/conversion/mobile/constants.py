"""Are the constants of every layer where they belong in a file whose graph cannot be looked into?

A runtime that hands a whole tower to its accelerator shows no values between the layers. But weights are stored as
they are, in one of few layouts, in the order of the layers: a damaged one is not found, and two that changed places
are found in the wrong order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

_FEWEST_BYTES = 64  # shorter ones could be found anywhere


def layers_out_of_place(form: nn.Module, content: bytes) -> Iterator[tuple[str, float]]:
    """Path of each layer with constants, in order; infinity if one is not in the file or not in its place, else 0."""
    last: dict[tuple[str, tuple[int, ...]], int] = {}
    for path, module in form.named_modules():
        wrong = False
        for name, parameter in module.named_parameters(recurse=False):
            values = parameter.detach().numpy()
            if values.nbytes < _FEWEST_BYTES:
                continue
            kind = (f"{type(module).__name__}.{name}", values.shape)
            place = _place(values, content, last.get(kind, -1) + 1)
            wrong = wrong or place < 0
            last[kind] = max(place, last.get(kind, -1))
        if next(module.parameters(recurse=False), None) is not None:
            yield path, float("inf") if wrong else 0.0


def _place(values: NDArray, content: bytes, start: int) -> int:
    """Where the values are from `start` on, in any layout; −1 if nowhere."""
    found = [content.find(np.ascontiguousarray(layout).tobytes(), start) for layout in _layouts(values)]
    return min((place for place in found if place >= 0), default=-1)


def _layouts(values: NDArray) -> list[NDArray]:
    if values.ndim == 4:
        return [values, values.transpose(0, 2, 3, 1), values.transpose(1, 2, 3, 0)]
    return [values, values.T] if values.ndim == 2 else [values]
