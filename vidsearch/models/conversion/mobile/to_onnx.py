"""ONNX: written by our own writer, run by ONNX Runtime. Any number of clips or texts at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from vidsearch.errors import ModelError
from vidsearch.machine import cores
from vidsearch.models.conversion.export import INPUT as IDS
from vidsearch.models.conversion.export import export_text_encoder
from vidsearch.models.conversion.graph import OPSET, OUTPUT, Stored
from vidsearch.models.conversion.mobile.onnx_clip import INPUT as CLIP
from vidsearch.models.conversion.mobile.onnx_clip import write_clip_tower
from vidsearch.models.conversion.mobile.proof import apart
from vidsearch.models.conversion.mobile.tower import Feed, Tower, layer_values
from vidsearch.models.exports import ExportPrecision, Vectors
from vidsearch.models.mobileviclip.config import CONTEXT
from vidsearch.models.mobileviclip.export_form import FormOptions

FORM = FormOptions(temporal="shifted", doubling="split")
_STORED: dict[ExportPrecision, Stored] = {"fp32": "float32", "fp16": "float16", "int8-weights": "int8"}


class OnnxExporter:
    """See `targets.Exporter`. float16 and int8 are how weights lie in the file; all is computed in float32."""

    ran_with = f"ONNX Runtime {onnxruntime.__version__}"

    def write(self, tower: Tower, precision: ExportPrecision, path: Path) -> None:
        stored = _STORED[precision]
        if tower.name == "clip":
            write_clip_tower(tower.clip_form(FORM), path, stored)
        else:
            state = tower.network.text_encoder.state_dict()
            export_text_encoder(state, tower.config.text, path, stored=stored, one_file=True)

    def run(self, path: Path, tower: Tower) -> Vectors:
        session = _session(path)
        try:
            return np.concatenate([session.run([OUTPUT], feed)[0] for feed in _feeds(tower)])
        except Exception as error:  # the runtime has no base class of its own
            raise ModelError(f"ONNX Runtime fails on {path} ({_first_line(error)}); export it again") from error

    def layers(self, path: Path, tower: Tower) -> Iterator[tuple[str, float]]:
        """Every layer's last node is made an output; both sides are made one shape."""
        expected = dict(layer_values(tower.form(FORM), tower.feeds()[0]))
        model = onnx.load(path)
        last = _last_outputs(model, list(expected))
        known = {value.name for value in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in last.values() if name not in known)
        session = _session(model.SerializeToString())
        values = session.run(list(last.values()), _feeds(tower)[0])
        for layer, got in zip(last, values, strict=True):
            yield layer, apart(np.asarray(got).reshape(-1), expected[layer].reshape(-1))

    def ends(self, tower: Tower) -> dict[str, Any]:
        config = tower.config
        if tower.name == "text":
            entry = {"name": IDS, "shape": ["batch", CONTEXT], "dtype": "int64", "what": "token ids, padded with 0"}
        else:
            side, frames = config.preprocessing.side_px, config.preprocessing.frames
            shape = ["batch", frames, 3, side, side]
            entry = {"name": CLIP, "shape": shape, "dtype": "float32", "what": "RGB frames in time order, normalised"}
        output = {"name": OUTPUT, "shape": ["batch", config.embed_dim], "dtype": "float32", "what": "unit length"}
        return {"inputs": [entry], "output": output}

    def versions(self) -> Mapping[str, str]:
        return {"onnx opset": str(OPSET), "onnx": onnx.__version__}


def _feeds(tower: Tower) -> list[Feed]:
    if tower.name == "clip":
        return [{CLIP: clip[None]} for clip in tower.clips]
    return [{IDS: row[None]} for row in tower.token_ids]


def _last_outputs(model: onnx.ModelProto, layers: list[str]) -> dict[str, str]:
    """Layer → the value that its last node gives, for layers that the file has."""
    last: dict[str, str] = {}
    for node in model.graph.node:
        for layer in layers:
            if node.name.startswith(f"{layer.replace('.', '/')}/"):
                last[layer] = node.output[0]
    return {layer: last[layer] for layer in layers if layer in last}


def _session(model: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.log_severity_level = 3  # errors alone; they come as exceptions
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # no base class of its own; whatever it is, the file is at fault
        what = model if isinstance(model, Path) else "a copy of it with more outputs"
        raise ModelError(f"ONNX Runtime does not open {what} ({_first_line(error)}); export it again") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
