"""May an ONNX encoder be run, a model folder's or an export? Its operators, sizes and ends, read without running it.

Only operators whose results are about as large as their inputs are known, none of them with a graph of its own, and
every value in between must have a size that is known beforehand and bounded. Weights lie in the file itself or in the
one file beside it. The `onnx` package takes a quarter of a second to import: this is for the first look at a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from vidsearch.errors import ModelError
from vidsearch.models.interface import BATCH_TEXTS

if TYPE_CHECKING:
    from vidsearch.models.folder import ModelFolder

OPERATORS = frozenset(
    (
        *("Add", "And", "Cast", "Clip", "Div", "Equal", "Erf", "Gelu", "Greater", "GreaterOrEqual", "Identity"),
        *("Less", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Relu", "Sigmoid", "Softmax", "Sqrt", "Sub", "Tanh"),
        *("Concat", "Flatten", "Gather", "GatherND", "Reshape", "Slice", "Split", "Squeeze", "Transpose"),
        *("ArgMax", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "Unsqueeze", "Where"),
        *("Conv", "DequantizeLinear", "Gemm", "GlobalAveragePool", "LayerNormalization", "MatMul", "Pad"),
    )
)
_LONG_TEXT = "two dogs run along the beach at sunset, then " * 200
_MOST_VALUES = 1 << 27  # of one result in between: 0.5 GB as float32
_SMALL_BYTES = 4096  # of a tensor that may be a shape, on which other shapes depend
_FILE_LIMIT_BYTES = (2 << 30) - 1  # what protobuf reads
_BITS = {TensorProto.FLOAT: 32, TensorProto.FLOAT16: 16, TensorProto.INT64: 64, TensorProto.INT32: 32}
_BITS |= {TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.BOOL: 8, TensorProto.BFLOAT16: 16}


def check_text_encoder(folder: ModelFolder) -> None:
    """ModelError, which names the file and its fault, unless text.onnx may be run. Nothing of it is run here."""
    path = folder.text_encoder
    inputs = folder.family.query_tokenizer(folder, simplify=True)([_LONG_TEXT] * BATCH_TEXTS)
    try:
        check_graph(path, inputs, folder.embedding.embed_dim)
    except ModelError as error:
        raise ModelError(f"the text encoder {path} is not run: {error}; install {folder.name} again") from error


def check_graph(path: Path, inputs: Mapping[str, np.ndarray], dim: int) -> None:
    """ModelError, a clause that says what is wrong, unless the graph turns these inputs into vectors of `dim` values.

    `inputs` are as large as any that will be given.
    """
    model = _read(path)
    _check_operators(model)
    _check_weights(model, path)
    _check_ends(model, inputs, dim)
    _check_sizes(model, inputs)


def _read(path: Path) -> onnx.ModelProto:
    if path.stat().st_size > _FILE_LIMIT_BYTES:
        raise ModelError("it is larger than 2 GB")
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's errors have no base class that says more
        raise ModelError("it is not an ONNX file, or is cut short") from error


def _check_operators(model: onnx.ModelProto) -> None:
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise ModelError("it defines functions of its own, or holds more than a graph")
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise ModelError(f"it has the operator {node.op_type!r:.60}, which an encoder does not need")
        if any(attribute.HasField("g") or attribute.graphs or attribute.HasField("t") for attribute in node.attribute):
            raise ModelError(f"its operator {node.op_type} has a graph or a tensor of its own")


def _check_weights(model: onnx.ModelProto, path: Path) -> None:
    """Every tensor has the bytes that its shape needs, here or in the file beside."""
    beside = path.with_name(path.name + ".data")
    there = beside.stat().st_size if beside.is_file() else 0
    for tensor in model.graph.initializer:
        if tensor.data_type not in _BITS or any(size < 0 for size in tensor.dims):
            raise ModelError(f"its tensor {tensor.name!r:.60} has an unknown type or shape")
        needed = prod(tensor.dims) * _BITS[tensor.data_type] // 8
        if tensor.data_location == TensorProto.EXTERNAL:
            held = _external_bytes(tensor, beside.name, there)
        else:
            held = len(tensor.raw_data)
        if held != needed:
            raise ModelError(f"its tensor {tensor.name!r:.60} takes {needed} bytes and has {held}")


def _external_bytes(tensor: TensorProto, name: str, there: int) -> int:
    """The bytes that a tensor has in the file beside, whose size is `there`; 0 if the place is not in that file."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if entries.get("location") != name:
        raise ModelError(f"its tensor {tensor.name!r:.60} lies in another file ({entries.get('location')!r:.60})")
    numbers = [entries.get(key, "") for key in ("offset", "length")]
    if not all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        raise ModelError(f"its tensor {tensor.name!r:.60} has no place in {name}")
    offset, length = map(int, numbers)
    return length if offset + length <= there else 0


def _check_ends(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray], dim: int) -> None:
    """The inputs are those that the tokenizer makes, the first output is one vector a text."""
    found = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.input}
    wanted = {name: array.ndim for name, array in inputs.items()}
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    if found != wanted or types != {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in inputs.items()}:
        raise ModelError(f"its inputs are {found!r:.100}, not {', '.join(wanted)}")
    outputs = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.output]
    if len(outputs) != 1 or outputs[0][1:] != [dim]:
        raise ModelError(f"its output is {outputs!r:.60}, not a vector of {dim} values for each input")


def _check_sizes(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> None:
    """For the largest batch of the longest inputs, every result has a size that is known and bounded."""
    batch = len(next(iter(inputs.values())))
    for value in (*model.graph.input, *model.graph.output):
        shape = inputs[value.name].shape if value.name in inputs else (batch,)
        for size, wanted in zip(value.type.tensor_type.shape.dim, shape, strict=False):
            size.Clear()
            size.dim_value = wanted
    _forget_weights(model)
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # its errors are RuntimeErrors and ValueErrors without a base class
        raise ModelError("the shapes of its operators do not go together") from error
    known = dict(_known_sizes(inferred))
    for node in model.graph.node:
        for name in node.output:
            if name not in known or known[name] > _MOST_VALUES:
                much = f"{known[name]} values" if name in known else "no known size"
                raise ModelError(f"its operator {node.op_type} gives {much} for {batch} inputs")


def _forget_weights(model: onnx.ModelProto) -> None:
    """Large tensors, and those in the file beside, become inputs of their shapes: their values do not matter here."""
    kept = []
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.raw_data) > _SMALL_BYTES:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _known_sizes(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Name and number of values of each result whose shape is known."""
    for value in (*model.graph.value_info, *model.graph.output):
        sizes: list[Any] = list(value.type.tensor_type.shape.dim)
        if all(size.HasField("dim_value") for size in sizes):
            yield value.name, prod(size.dim_value for size in sizes)
