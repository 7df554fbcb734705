"""A text encoder is looked at before it is run: each way in which it could do harm is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from seeded import TEXT, TEXT_MCT, TEXT_PRUNED, seeded, small_config

from vidsearch.errors import ModelError
from vidsearch.models.conversion import graph
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import BUNDLED_DIR, ModelFolder, open_folder
from vidsearch.models.onnx_check import check_text_encoder

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
Change = Callable[[onnx.ModelProto], None]


@pytest.mark.parametrize("text", [TEXT, TEXT_MCT, TEXT_PRUNED], ids=["transformer", "mct", "pruned"])
def test_every_text_encoder_that_is_exported_passes(
    text: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "_EXTERNAL_FROM_BYTES", 0)  # weights beside the graph, as of large models
    network = seeded(small_config("mobileviclip-tiny", text))  # type: ignore[arg-type]
    check_text_encoder(write_model_folder(network, tmp_path / "mobileviclip-tiny", provenance={}))


def test_the_bundled_text_encoder_passes() -> None:
    check_text_encoder(NANO)


def changed(folder: Path, change: Change) -> ModelFolder:
    """The bundled model with another text.onnx."""
    model = onnx.load(NANO.text_encoder)
    change(model)
    folder.mkdir(exist_ok=True)
    (folder / "text.onnx").write_bytes(model.SerializeToString())
    shutil.copy(NANO.weights, folder / "model.safetensors")
    return replace(NANO, path=folder)


def add_node(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.graph.node.insert(0, node)


def huge_constant(model: onnx.ModelProto) -> None:
    """Gigabytes from a few bytes."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([4_000_000, 192]), "huge"))
    add_node(model, helper.make_node("ConstantOfShape", ["huge"], ["much"]))


def outer_product(model: onnx.ModelProto) -> None:
    for name, shape in (("column", (1 << 17, 1)), ("row", (1, 1 << 17))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    add_node(model, helper.make_node("MatMul", ["column", "row"], ["much"]))


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    add_node(model, helper.make_node("Loop", ["", ""], ["out"], body=body))


def constant_with_a_tensor(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(1, np.float32))
    add_node(model, helper.make_node("Identity", ["ids"], ["out"], value=value))


def foreign_operator(model: onnx.ModelProto) -> None:
    add_node(model, helper.make_node("Add", ["ids", "ids"], ["out"], domain="com.example"))


def function(model: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 20)]
    node = helper.make_node("Add", ["a", "a"], ["b"])
    model.functions.append(helper.make_function("local", "twice", ["a"], ["b"], [node], opset))


def short_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def negative_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -1


def strings(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


def external(model: onnx.ModelProto, location: str, offset: str = "0") -> None:
    tensor = model.graph.initializer[0]
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "tokens"


def more_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.INT64, [1]))


def float_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def other_length(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 512


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def wrong_shapes(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "MatMul")
    node.input[1] = "positions"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (huge_constant, "it has the operator 'ConstantOfShape', which an encoder does not need"),
        (outer_product, "its operator MatMul gives 17179869184 values for 32 inputs"),
        (loop, "it has the operator 'Loop'"),
        (constant_with_a_tensor, "its operator Identity has a graph or a tensor of its own"),
        (foreign_operator, "it has the operator 'Add'"),
        (function, "it defines functions of its own"),
        (short_tensor, r"its tensor '\w+' takes \d+ bytes and has \d+"),
        (negative_tensor, r"its tensor '\w+' has an unknown type or shape"),
        (strings, r"its tensor '\w+' has an unknown type or shape"),
        (lambda model: external(model, "/etc/passwd"), "lies in another file"),
        (lambda model: external(model, "../model.safetensors"), "lies in another file"),
        (lambda model: external(model, "text.onnx.data"), r"takes \d+ bytes and has 0"),
        (lambda model: external(model, "text.onnx.data", "-1"), r"has no place in text\.onnx\.data"),
        (other_input, "its inputs are .*, not ids"),
        (more_inputs, "its inputs are .*, not ids"),
        (float_input, "its inputs are .*, not ids"),
        (other_length, r"its output is \[\[0, 512\]\], not a vector of 192 values for each input"),
        (no_output, "its output is"),
        (wrong_shapes, "the shapes of its operators do not go together"),
    ],
)
def test_what_a_text_encoder_may_not_do_is_named(change: Change, reason: str, tmp_path: Path) -> None:
    folder = changed(tmp_path / "model", change)
    with pytest.raises(ModelError, match=rf"text\.onnx is not run: .*{reason}.*; install mobileviclip-nano again"):
        check_text_encoder(folder)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"<html>", b"\xff" * 1000])
def test_what_is_no_graph_is_named(content: bytes, tmp_path: Path) -> None:
    folder = changed(tmp_path / "model", lambda model: None)
    folder.text_encoder.write_bytes(content)
    with pytest.raises(ModelError, match=r"text\.onnx is not run: .*; install mobileviclip-nano again"):
        check_text_encoder(folder)
