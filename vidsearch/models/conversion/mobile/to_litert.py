"""LiteRT: written by litert-torch, run by LiteRT's interpreter with XNNPACK. One clip, one text at a time.

The convolution along time is one here: with channels last, as LiteRT has them, it moves no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.ends import one_at_a_time
from vidsearch.models.conversion.mobile.proof import apart
from vidsearch.models.conversion.mobile.quiet import quiet
from vidsearch.models.conversion.mobile.tower import Tower, layer_values
from vidsearch.models.exports import ExportPrecision, Vectors
from vidsearch.models.mobileviclip.export_form import FormOptions

with quiet():
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
    from ai_edge_quantizer.quantizer import Quantizer

FORM = FormOptions(temporal="convolution", doubling="grouped")
_OUTPUT = "vector"
_IDENTIFIER = b"TFL3"  # bytes 4 to 8 of a model
_WEIGHTS: dict[ExportPrecision, tuple[int, str]] = {  # bits, and how the quantizer calls the way
    "fp16": (16, "float_casting"),
    "int8-weights": (8, "min_max_uniform_quantize"),
}


class LitertExporter:
    """See `targets.Exporter`. float16 and int8 are how weights lie in the file; all is computed in float32."""

    ran_with = f"LiteRT {version('ai-edge-litert')} (XNNPACK)"

    def write(self, tower: Tower, precision: ExportPrecision, path: Path) -> None:
        example = {name: torch.from_numpy(array) for name, array in tower.feeds()[0].items()}
        with quiet():
            form = _with_ordered_constants(_Named(tower.form(FORM)))
            content = litert_torch.convert(form, sample_kwargs=example).model_content()
            if precision in _WEIGHTS:
                content = _with_smaller_weights(content, *_WEIGHTS[precision])
        path.write_bytes(content)

    def run(self, path: Path, tower: Tower) -> Vectors:
        with quiet():
            runner = _interpreter(path).get_signature_runner()
            try:
                return np.concatenate([runner(**feed)[_OUTPUT] for feed in tower.feeds()])
            except (KeyError, RuntimeError, ValueError) as error:
                raise ModelError(f"LiteRT fails on {path} ({_first_line(error)}); export it again") from error

    def layers(self, path: Path, tower: Tower) -> Iterator[tuple[str, float]]:
        """Values are named after their module; a layer's is its last one of the layer's shape."""
        feed = tower.feeds()[0]
        expected = dict(layer_values(tower.form(FORM), feed))
        with quiet():
            interpreter = _interpreter(path, every_value=True)
            interpreter.get_signature_runner()(**feed)
            values = [
                (_paths(tensor["name"]), interpreter.get_tensor(tensor["index"])) for tensor in _computed(interpreter)
            ]
        for layer, wanted in expected.items():
            own = [value for paths, value in values if any(_within(path, layer) for path in paths)]
            fitting = [value for value in own if value.size == wanted.size]
            if fitting:
                yield layer, min(apart(value.reshape(wanted.shape), wanted) for value in _layouts(fitting[-1]))

    def ends(self, tower: Tower) -> dict[str, Any]:
        return one_at_a_time(tower)

    def versions(self) -> Mapping[str, str]:
        packages = ("litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer")
        return {package: version(package) for package in packages}


class _Named(nn.Module):
    """A form whose output has a name in the file."""

    def __init__(self, form: nn.Module) -> None:
        super().__init__()
        self.form = form

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return {_OUTPUT: self.form(**inputs)}


def _with_ordered_constants(form: _Named) -> _Named:
    """The form with all constants contiguous.

    Of any other litert-torch 0.10 makes a contiguous copy, which it knows again by its address (`inline_consts.py`,
    `_ConstantFingerprint`). The copy is freed at once, so the next one of that shape often lies at the same address and
    is taken for the first: wrong vectors, without a word.
    """
    for parameter in form.parameters():
        parameter.data = parameter.data.contiguous()
    return form


def _with_smaller_weights(content: bytes, bits: int, algorithm: str) -> bytes:
    """Weights in fewer bits, each turned back to float32 when the file is loaded."""
    quantizer = Quantizer(content)
    quantizer.add_weight_only_config(regex=".*", operation_name="*", num_bits=bits, algorithm_key=algorithm)
    return bytes(quantizer.quantize().quantized_model)


def _interpreter(path: Path, every_value: bool = False) -> Interpreter:
    """Of one thread; with `every_value` the plain kernels, which leave each value where it can be read."""
    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise ModelError(f"{path} is no LiteRT model; export it again")
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if every_value else OpResolverType.AUTO
    try:
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=every_value,
            experimental_op_resolver_type=kernels,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"LiteRT does not open {path} ({_first_line(error)}); export it again") from error
    return interpreter


def _computed(interpreter: Interpreter) -> Iterator[Mapping[str, Any]]:
    """The tensors that operators give, in the order in which these run."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    for operator in interpreter._get_ops_details():
        yield from (tensors[index] for index in operator["outputs"] if index in tensors)


def _paths(name: str) -> list[str]:
    """The modules that a tensor's name tells, as paths of the form.

    "a.b.Named/a.b.ClipTower_form/a.Sequential_network/a.Conv2d_0;3" → ["network.0"]; several where operators were
    joined.
    """
    paths = []
    for origin in name.split(";"):
        steps = [step.rpartition(".")[2].partition("_")[2] for step in origin.split("/")[2:]]
        if steps:
            paths.append(".".join(steps))
    return paths


def _within(path: str, layer: str) -> bool:
    return f"{path}.".startswith(f"{layer}.")


def _layouts(value: NDArray) -> list[NDArray]:
    """As it is, and from the channels last of LiteRT to torch's place for them, after the batch."""
    return [value, value.transpose(0, 3, 1, 2)] if value.ndim == 4 else [value]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
