"""ONNX graphs, written operator by operator: nodes and tensors in the order in which they are added.

Matrices and kernels can be stored as float16, or as int8 with a scale for each output; both are widened in the graph,
and computed with in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

OUTPUT = "vectors"
OPSET = 20  # the first with Gelu
_IR_VERSION = 10  # what onnxruntime 1.20, the oldest supported, reads
_EXTERNAL_FROM_BYTES = 32 << 20  # larger models keep their tensors in a file beside, which the runtime maps
_ALIGNMENT = 4096
_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int8": TensorProto.INT8,
}
_INT8_MOST = 127
_INT8_FROM_INPUTS = 8  # of each output; a depthwise kernel has too few values for a scale of its own to pay

Array = NDArray[Any]
Stored = Literal["float32", "float16", "int8"]


class Graph:
    """A graph that grows; every value gets a name of its own. `state` holds the tensors that `weight` takes.

    `stored` is how matrices and kernels lie in the file.
    """

    def __init__(self, state: Mapping[str, Array], stored: Stored = "float32") -> None:
        self.state = state
        self.stored = stored
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Array] = {}
        self._path = ""

    @contextmanager
    def within(self, path: str) -> Iterator[None]:
        """What is added in the block is named after a module, `a.b` as `a/b/…`; paths nest."""
        before = self._path
        self._path = f"{before}{path.replace('.', '/')}/"
        yield
        self._path = before

    def own(self, name: str) -> str:
        """The name of a tensor of the module that is being written, as a state dict has it."""
        return f"{self._path.replace('/', '.')}{name}"

    def shape(self, sizes: Sequence[int]) -> str:
        """A shape as a constant; equal shapes are one."""
        return self.tensor("shape_" + "_".join(map(str, sizes)), list(sizes))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add one operator; the name of its only output."""
        return self.split(kind, 1, *inputs, **attributes)[0]

    def split(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        number = len(self.nodes)
        name = f"{self._path}{kind}_{number}"
        front = name if self._path else name.lower()
        names = [front + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return names

    def tensor(self, name: str, values: Array | list[int]) -> str:
        """Add a constant; integers are int64, all else float32. The name given may be used again for equal values."""
        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.tensors.setdefault(name, np.ascontiguousarray(array))
        return name

    def half(self, name: str, values: Array) -> str:
        """Add a constant that is stored as float16; a node widens it to float32 when the graph is opened."""
        self.tensors.setdefault(name, np.ascontiguousarray(values.astype(np.float16)))
        return self.as_float32(name)

    def as_float32(self, x: str) -> str:
        """Values of another type, true as 1.0."""
        return self.op("Cast", x, to=TensorProto.FLOAT)

    def weight(self, key: str) -> str:
        """A tensor of the state dict as it is."""
        return self.tensor(key, self.state[key])

    def kernel(self, name: str, values: Array, outputs_axis: int = 0) -> str:
        """Add a matrix or a kernel, stored as this graph stores them; int8 has a scale for each output."""
        if self.stored == "float32":
            return self.tensor(name, values)
        if self.stored == "float16" or values.size < _INT8_FROM_INPUTS * values.shape[outputs_axis]:
            return self.half(name, values)
        axes = tuple(axis for axis in range(values.ndim) if axis != outputs_axis)
        scale = np.maximum(np.abs(values).max(axes, keepdims=True) / _INT8_MOST, np.finfo(np.float32).tiny)
        self.tensors.setdefault(name, np.ascontiguousarray(np.rint(values / scale).astype(np.int8)))
        return self.op("DequantizeLinear", name, self.tensor(f"{name}.scale", scale.reshape(-1)), axis=outputs_axis)

    def rows(self, name: str, table: Array, numbers: str) -> str:
        """Rows of a table; if stored narrow, only the rows taken are widened."""
        if self.stored == "float32":
            return self.op("Gather", self.tensor(name, table), numbers)
        self.tensors.setdefault(name, np.ascontiguousarray(table.astype(np.float16)))
        return self.as_float32(self.op("Gather", name, numbers))

    def linear(self, x: str, key: str, weight: Array, bias: Array | None) -> str:
        """x (…, in) → (…, out); weight as torch has it, (out, in)."""
        product = self.op("MatMul", x, self.kernel(f"{key}.weight", weight.T, 1))
        if bias is None:
            return product
        return self.op("Add", product, self.tensor(f"{key}.bias", bias))

    def norm(self, x: str, key: str, eps: float) -> str:
        """Layer norm over the last axis, with the state's weight and bias below `key`."""
        weight, bias = self.weight(f"{key}.weight"), self.weight(f"{key}.bias")
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)

    def write(
        self,
        path: Path,
        inputs: Mapping[str, Sequence[str | int]],
        width: int,
        *,
        name: str = "text_encoder",
        dtype: str = "int64",
        one_file: bool = False,
    ) -> None:
        """Write the graph to `path`, a large one's tensors to `path` + ".data" unless `one_file`; the same bytes twice.

        `inputs` are of one `dtype`, each with its shape, a word for an axis of any size. The output of the node that
        was added last is the graph's, called `OUTPUT`, (batch, width).
        """
        self.nodes[-1].output[0] = OUTPUT
        total = sum(array.nbytes for array in self.tensors.values())
        if total >= _EXTERNAL_FROM_BYTES and not one_file:
            tensors = _write_tensors(self.tensors, path.with_name(path.name + ".data"))
        else:
            tensors = [_header(name, array, raw=array.tobytes()) for name, array in self.tensors.items()]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(key, _TYPES[dtype], list(shape)) for key, shape in inputs.items()],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", width])],
            tensors,
        )
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="vidsearch")
        path.write_bytes(model.SerializeToString(deterministic=True))


def _write_tensors(tensors: Mapping[str, Array], path: Path) -> list[TensorProto]:
    """Write the large tensors one after the other, each at the start of a page; entries that say where each lies."""
    entries = []
    with path.open("wb") as file:
        for name, array in tensors.items():
            if array.nbytes < _ALIGNMENT:  # shapes and the like, which the runtime wants to read at opening
                entries.append(_header(name, array, raw=array.tobytes()))
                continue
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            entry = _header(name, array)
            entry.data_location = TensorProto.EXTERNAL
            for key, value in (("location", path.name), ("offset", file.tell()), ("length", array.nbytes)):
                entry.external_data.add(key=key, value=str(value))
            file.write(array.tobytes())
            entries.append(entry)
    return entries


def _header(name: str, array: Array, raw: bytes | None = None) -> TensorProto:
    return TensorProto(name=name, dims=array.shape, data_type=_TYPES[array.dtype.name], raw_data=raw)
