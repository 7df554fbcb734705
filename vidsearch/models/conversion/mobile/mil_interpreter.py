"""A saved Core ML package, computed with torch as its operators say, rounded as they say: Core ML is on Apple alone.

Loaded by coremltools' own reader of the file, so that what is checked is what lies on the disk: the graph and the
weights. How Apple's processors round inside an operator is not known here. Operators: the MIL reference of coremltools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.quiet import quiet

with quiet():
    import coremltools
    from coremltools.converters.mil.frontend.milproto.load import load

_WEIGHTS = Path("Data", "com.apple.CoreML", "weights")
_ROUNDED = {"fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32}
Inputs = Mapping[str, Any]


class Package:
    """The operators of a package's one function."""

    def __init__(self, path: Path) -> None:
        """ModelError for what is no package, or is damaged."""
        try:
            with quiet():
                spec = coremltools.models.utils.load_spec(str(path))
                program = load(spec, spec.specificationVersion, str(path / _WEIGHTS))
        except Exception as error:  # protobuf, OSError and coremltools' own, without a common base
            reason = str(error).partition("\n")[0][:200]
            raise ModelError(f"{path} is no Core ML package, or is damaged ({reason}); export it again") from error
        function = program.functions["main"]
        self.path = path
        self.specification = int(spec.specificationVersion)
        self.outputs = [output.name for output in function.outputs]
        self._operators = list(function.operations)

    def run(self, inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, list[str], np.ndarray]]:
        """Kind of each operator, the names of its constants, and its value; the last are those of the outputs."""
        values: dict[str, Any] = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.inference_mode():
            for operator in self._operators:
                output = operator.outputs[0]
                if operator.op_type == "const":
                    values[output.name] = _constant(output.val)
                    continue
                given = {
                    name: [values[each.name] for each in value] if isinstance(value, tuple) else values[value.name]
                    for name, value in operator.inputs.items()
                }
                values[output.name] = self._computed(operator, given, output)
                if not operator.op_type.startswith("constexpr"):
                    yield output.name, _names(operator), _shown(values[output.name])

    def _computed(self, operator: Any, given: Inputs, output: Any) -> Any:
        compute = _OPERATORS.get(operator.op_type)
        if compute is None:
            raise ModelError(f"{self.path} has the Core ML operator {operator.op_type}, which cannot be checked here")
        value = compute(given)
        dtype = _ROUNDED.get(output.dtype.__name__ if hasattr(output.dtype, "__name__") else "")
        if isinstance(value, Tensor) and value.is_floating_point() and dtype == torch.float16:
            return value.half().float()
        return value


def _constant(value: Any) -> Any:
    """Arrays as tensors, floating ones in float32; texts, truths and numbers as they are."""
    if isinstance(value, np.ndarray):
        array = value.astype(np.float32) if value.dtype.kind == "f" else value
        return torch.from_numpy(np.ascontiguousarray(array.astype(np.int64) if array.dtype.kind in "iu" else array))
    return value.item() if isinstance(value, np.generic) else value


def _names(operator: Any) -> list[str]:
    return [value.name for value in operator.inputs.values() if not isinstance(value, tuple)]


def _shown(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _conv(x: Inputs) -> Tensor:
    pads = x["pad"].tolist() if x["pad_type"] == "custom" else [0] * 4
    if x["pad_type"] not in ("custom", "valid"):
        raise ModelError(f"the padding {x['pad_type']} of a Core ML convolution cannot be checked here")
    padded = F.pad(x["x"], (pads[2], pads[3], pads[0], pads[1]))
    strides, dilations = x["strides"].tolist(), x["dilations"].tolist()
    return F.conv2d(padded, x["weight"], x.get("bias"), strides, 0, dilations, int(x["groups"]))


def _slice(x: Inputs) -> Tensor:
    count = x["x"].ndim
    masks = {name: x[name].tolist() if name in x else [False] * count for name in ("begin_mask", "end_mask")}
    begins, ends = x["begin"].tolist(), x["end"].tolist()
    return x["x"][
        tuple(
            slice(None if masks["begin_mask"][i] else begins[i], None if masks["end_mask"][i] else ends[i])
            for i in range(count)
        )
    ]


def _pad(x: Inputs) -> Tensor:
    pads = x["pad"].reshape(-1, 2).tolist()
    return F.pad(x["x"], [size for before, after in reversed(pads) for size in (before, after)])


def _matmul(x: Inputs) -> Tensor:
    left = x["x"].transpose(-1, -2) if x.get("transpose_x") else x["x"]
    return left @ (x["y"].transpose(-1, -2) if x.get("transpose_y") else x["y"])


def _layer_norm(x: Inputs) -> Tensor:
    shape = [x["x"].shape[axis] for axis in x["axes"].tolist()]
    return F.layer_norm(x["x"], shape, x["gamma"], x["beta"], float(x["epsilon"]))


def _gather(x: Inputs) -> Tensor:
    return (
        x["x"]
        .index_select(int(x["axis"]), x["indices"].reshape(-1).long())
        .reshape(*x["indices"].shape, *x["x"].shape[1:])
    )


def _gelu(x: Inputs) -> Tensor:
    if x["mode"] != "EXACT":
        raise ModelError(f"the GELU {x['mode']} of a Core ML package is not the model's; export it again")
    return F.gelu(x["x"])


def _affine(x: Inputs) -> Tensor:
    """Per-axis int8 → float (iOS 16 and 17)."""
    data, axis = x["quantized_data"].float(), int(x["axis"])
    shape = [-1 if place == axis else 1 for place in range(data.ndim)]
    scale, zero = (torch.as_tensor(x[name]).float() for name in ("scale", "zero_point"))
    return (data - (zero.reshape(shape) if zero.ndim else zero)) * (scale.reshape(shape) if scale.ndim else scale)


def _blockwise(x: Inputs) -> Tensor:
    """int8 times a scale that broadcasts block by block (iOS 18)."""
    scale, data = x["scale"].float(), x["data"].float()
    for axis, size in enumerate(data.shape):
        scale = scale.repeat_interleave(size // scale.shape[axis], axis)
    return data * scale


_OPERATORS: dict[str, Callable[[Inputs], Any]] = {
    "add": lambda x: x["x"] + x["y"],
    "cast": lambda x: x["x"].float() if str(x["dtype"]).startswith("fp") else x["x"].long(),
    "constexpr_affine_dequantize": _affine,
    "constexpr_blockwise_shift_scale": _blockwise,
    "conv": _conv,
    "gather": _gather,
    "gelu": _gelu,
    "greater_equal": lambda x: x["x"] >= x["y"],
    "layer_norm": _layer_norm,
    "linear": lambda x: F.linear(x["x"], x["weight"], x.get("bias")),
    "matmul": _matmul,
    "mul": lambda x: x["x"] * x["y"],
    "pad": _pad,
    "reduce_mean": lambda x: x["x"].mean(x["axes"].tolist(), keepdim=bool(x["keep_dims"])),
    "relu": lambda x: F.relu(x["x"]),
    "reshape": lambda x: x["x"].reshape(x["shape"].tolist()),
    "rsqrt": lambda x: torch.rsqrt(x["x"] + float(x.get("epsilon", 0.0))),
    "select": lambda x: torch.where(x["cond"], x["a"], x["b"]),
    "sigmoid": lambda x: torch.sigmoid(x["x"]),
    "slice_by_index": _slice,
    "softmax": lambda x: torch.softmax(x["x"], int(x["axis"])),
    "sub": lambda x: x["x"] - x["y"],
    "transpose": lambda x: x["x"].permute(x["perm"].tolist()),
}
