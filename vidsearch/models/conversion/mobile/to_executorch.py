"""ExecuTorch with XNNPACK: the clip tower is one delegate with nothing outside it. One clip, one text at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.constants import layers_out_of_place
from vidsearch.models.conversion.mobile.ends import one_at_a_time
from vidsearch.models.conversion.mobile.quiet import quiet
from vidsearch.models.conversion.mobile.tower import Tower
from vidsearch.models.exports import ExportPrecision, Vectors
from vidsearch.models.mobileviclip.export_form import FormOptions

with quiet():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

FORM = FormOptions(temporal="shifted", doubling="grouped")
_DELEGATE = "executorch_call_delegate"
_IDENTIFIER = b"ET12"  # bytes 4 to 8 of a program


class ExecutorchExporter:
    """See `targets.Exporter`. int8-weights: activations are rounded too, as each layer comes, by what they are."""

    ran_with = f"ExecuTorch {version('executorch')} (XNNPACK)"

    def __init__(self) -> None:
        self._outside: dict[str, int] = {}

    def write(self, tower: Tower, precision: ExportPrecision, path: Path) -> None:
        form = tower.form(FORM)
        example = tuple(torch.from_numpy(array) for array in tower.feeds()[0].values())
        with quiet():
            program = torch.export.export(form, example)
            if precision == "int8-weights":
                program = _with_int8_weights(program, example)
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            self._outside = _calls(edge.exported_program().graph_module)
            if tower.name == "clip" and precision == "fp32" and self._outside != {_DELEGATE: 1}:
                raise ModelError(f"XNNPACK did not take the whole clip tower ({self._outside}); export it to onnx")
            path.write_bytes(edge.to_executorch().buffer)

    def run(self, path: Path, tower: Tower) -> Vectors:
        if path.read_bytes()[4:8] != _IDENTIFIER:
            raise ModelError(f"{path} is no ExecuTorch program; export it again")
        try:
            with quiet():
                program = Runtime.get().load_program(path.read_bytes())  # must outlive the method
                method = program.load_method("forward")
                if method is None:
                    raise ModelError(f"{path} has no method forward; export it again")
                return np.concatenate(
                    [
                        method.execute([torch.from_numpy(array) for array in feed.values()])[0].clone().numpy()
                        for feed in tower.feeds()
                    ]
                )
        except RuntimeError as error:
            reason = str(error).partition("\n")[0][:200]
            raise ModelError(f"ExecuTorch does not run {path} ({reason}); export it again") from error

    def layers(self, path: Path, tower: Tower) -> Iterator[tuple[str, float]]:
        """A delegate shows no values in between: where the constants are tells."""
        return layers_out_of_place(tower.form(FORM), path.read_bytes())

    def ends(self, tower: Tower) -> dict[str, Any]:
        return one_at_a_time(tower)

    def versions(self) -> Mapping[str, str]:
        outside = {name: count for name, count in self._outside.items() if name != _DELEGATE}
        return {
            "executorch": version("executorch"),
            "delegates": str(self._outside.get(_DELEGATE, 0)),
            "operators outside": str(sum(outside.values())),
        }


def _with_int8_weights(program: Any, example: tuple[torch.Tensor, ...]) -> Any:
    """Weights as int8 with a scale for each output; activations get theirs as they come."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    quantizer = XNNPACKQuantizer().set_global(config)
    prepared = prepare_pt2e(program.module(), quantizer)
    prepared(*example)
    return torch.export.export(convert_pt2e(prepared), example)


def _calls(graph: Any) -> dict[str, int]:
    """Name of each kind of call in a lowered graph, but for taking results apart → how often."""
    counted: dict[str, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_function" and "getitem" not in str(node.target):
            name = str(getattr(node.target, "__name__", node.target))
            counted[name] = counted.get(name, 0) + 1
    return counted
