"""Core ML: an mlprogram for iOS 17 or 18, checked by computing the saved package's operators with torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.ends import one_at_a_time
from vidsearch.models.conversion.mobile.mil_interpreter import Package
from vidsearch.models.conversion.mobile.proof import apart
from vidsearch.models.conversion.mobile.quiet import quiet
from vidsearch.models.conversion.mobile.tower import Feed, Tower, layer_values
from vidsearch.models.exports import ExportPrecision, Vectors
from vidsearch.models.mobileviclip.export_form import FormOptions

with quiet():
    import coremltools as ct
    import coremltools.optimize.coreml as optimise

FORM = FormOptions(temporal="shifted", doubling="grouped")
_SMALLEST_ROUNDED = 512  # values of a weight that int8 pays for


class CoremlExporter:
    """See `targets.Exporter`. fp16 and int8-weights compute in float16, fp32 in float32."""

    ran_with = f"its operators in torch {torch.__version__}"
    _ios: Any = ct.target.iOS17

    def write(self, tower: Tower, precision: ExportPrecision, path: Path) -> None:
        form = tower.form(FORM)
        feed = tower.feeds()[0]
        computed = ct.precision.FLOAT32 if precision == "fp32" else ct.precision.FLOAT16
        with quiet():
            example = tuple(map(torch.from_numpy, feed.values()))
            traced = torch.jit.trace(form, example, check_trace=False)  # type: ignore[no-untyped-call]
            model = ct.convert(
                traced,
                inputs=[_input(name, array) for name, array in feed.items()],
                outputs=[ct.TensorType("vector", dtype=np.float32)],
                convert_to="mlprogram",
                minimum_deployment_target=self._ios,
                compute_precision=computed,
                skip_model_load=True,
            )
            if precision == "int8-weights":
                config = optimise.OpLinearQuantizerConfig("linear_symmetric", weight_threshold=_SMALLEST_ROUNDED)
                model = optimise.linear_quantize_weights(model, optimise.OptimizationConfig(config))
            model.short_description = f"{tower.config.name}: {tower.name} tower"
            model.save(str(path))

    def run(self, path: Path, tower: Tower) -> Vectors:
        package = Package(path)
        return np.concatenate([_last(package, feed) for feed in tower.feeds()])

    def layers(self, path: Path, tower: Tower) -> Iterator[tuple[str, float]]:
        """Constants are named after their layer; its value is the last one of its shape before the next layer's."""
        feed = tower.feeds()[0]
        expected = dict(layer_values(tower.form(FORM), feed))
        names = {path.replace(".", "_"): path for path in expected}
        layer, values = "", {}
        for _, constants, value in Package(path).run(feed):
            layer = next((own for name, own in names.items() if _any_begins(constants, f"{name}_")), layer)
            if layer and value.shape == expected[layer].shape:
                values[layer] = value
        for layer, value in values.items():
            yield layer, apart(value, expected[layer])

    def ends(self, tower: Tower) -> dict[str, Any]:
        return one_at_a_time(tower)

    def versions(self) -> Mapping[str, str]:
        return {"coremltools": version("coremltools"), "deployment": str(self._ios.name)}


class Ios18Exporter(CoremlExporter):
    """The same for iOS 18 and later."""

    _ios = ct.target.iOS18


def _input(name: str, array: np.ndarray) -> Any:
    return ct.TensorType(name, shape=array.shape, dtype=np.int32 if array.dtype.kind == "i" else np.float32)


def _last(package: Package, feed: Feed) -> np.ndarray:
    value = None
    for name, _, computed in package.run(feed):
        if name in package.outputs:
            value = computed
    if value is None:
        raise ModelError(f"{package.path} gives nothing; export it again")
    return value.astype(np.float32)


def _any_begins(constants: list[str], front: str) -> bool:
    return any(name.startswith(front) for name in constants)
