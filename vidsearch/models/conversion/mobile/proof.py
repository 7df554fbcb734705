"""Is an exported file right? It is run on the tower's examples and compared with torch in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.targets import Exporter
from vidsearch.models.conversion.mobile.tower import Tower
from vidsearch.models.exports import LEVELS, ExportPrecision, Fidelity, fidelity

# Of a layer's largest value: what rounding in a precision leaves after the layers before it, with room.
_LAYER_TOLERANCE: dict[ExportPrecision, float] = {"fp32": 1e-3, "fp16": 0.05, "int8-weights": 0.2}


class WrongExportError(ModelError):
    """A file whose vectors are not the model's."""


def prove(exporter: Exporter, path: Path, tower: Tower, precision: ExportPrecision) -> Fidelity:
    """How far the file agrees with torch. WrongExportError, which names the first layer that differs, if too little."""
    found = fidelity(exporter.run(path, tower), tower.expected)
    level = LEVELS[precision]
    if not found.reaches(level):
        raise WrongExportError(
            f"{path.name} gives wrong vectors: cosine {found.cosine:.6f} and centred {found.centred:.6f} with torch, "
            f"where {precision} must reach {level.cosine:g} and {level.centred:g}; "
            f"{first_difference(exporter, path, tower, precision)}"
        )
    return found


def first_difference(exporter: Exporter, path: Path, tower: Tower, precision: ExportPrecision) -> str:
    """A clause that names the first layer whose values differ from torch's by more than rounding."""
    tolerance = _LAYER_TOLERANCE[precision]
    try:
        for layer, difference in exporter.layers(path, tower):
            if not difference <= tolerance:
                finite = np.isfinite(difference)
                how = f"by {difference:.1e} of its largest value" if finite else "its values are not there"
                return f"the first layer that differs is {layer} ({how})"
    except ModelError as error:
        return f"its layers cannot be looked at: {error}"
    return "no single layer differs by more than rounding does"


def apart(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference as a share of the largest value; infinite for another shape."""
    if got.shape != expected.shape:
        return float("inf")
    largest = float(np.abs(expected).max())
    return float(np.abs(got.astype(np.float64) - expected).max()) / max(largest, 1e-30)
