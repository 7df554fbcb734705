"""Clips embedded by an exported tower: torch's vectors, and nothing that is not the installed model's."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.onnx_clips import find_export
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.models.conversion.mobile.export import export_model
from vidsearch.models.exports import card_path, content_sha256, exports_dir
from vidsearch.models.folder import BUNDLED_DIR, open_folder

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with an export of the bundled one."""
    models_dir = tmp_path_factory.mktemp("models")
    place = exports_dir(models_dir, NANO.name)
    place.mkdir(parents=True)
    list(export_model(NANO, "onnx", ("clip",), "fp32", place))
    return models_dir


@pytest.fixture
def own(exported: Path, tmp_path: Path) -> Path:
    """The same, to change."""
    shutil.copytree(exported, tmp_path / "own")
    return tmp_path / "own"


def random_clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 8, 64, 64, 3), np.uint8)


def test_the_vectors_are_those_of_torch(exported: Path) -> None:
    torch = open_clip_embedder(NANO.name, models_dir=exported, device="cpu", runtime="torch", threads=1)
    onnx = open_clip_embedder(NANO.name, models_dir=exported, runtime="onnx", threads=1)
    assert (onnx.model, onnx.dim, onnx.frames, onnx.frame_spec) == (
        torch.model,
        torch.dim,
        torch.frames,
        torch.frame_spec,
    )
    assert onnx.device.startswith("cpu (ONNX Runtime ") and onnx.device.endswith("vectors as torch's: cosine 1.000000)")
    clips = random_clips()
    assert float((torch.embed(clips) * onnx.embed(clips)).sum(1).min()) > 0.9999
    assert onnx.embed(clips[:0]).shape == (0, onnx.dim)
    with pytest.raises(ValueError, match="takes uint8 clips"):
        onnx.embed(clips[:, :-1])


def test_an_export_is_made_where_torch_is(tmp_path: Path) -> None:
    assert find_export(NANO, tmp_path) is None
    open_clip_embedder(NANO.name, models_dir=tmp_path, runtime="onnx", threads=1)
    assert find_export(NANO, tmp_path) is not None


def test_a_gpu_is_refused(exported: Path) -> None:
    with pytest.raises(VidsearchError, match="runs on the CPU, not on cuda"):
        open_clip_embedder(NANO.name, models_dir=exported, runtime="onnx", device="cuda")


def test_a_changed_file_is_refused(own: Path) -> None:
    path = find_export(NANO, own)
    assert path is not None
    model = onnx.load(path)
    model.graph.initializer[4].raw_data = bytes(len(model.graph.initializer[4].raw_data))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="has changed since it was exported"):
        open_clip_embedder(NANO.name, models_dir=own, runtime="onnx")
    change_card(path, sha256=content_sha256(path))
    with pytest.raises(ModelError, match="does not give torch's vectors"):
        open_clip_embedder(NANO.name, models_dir=own, runtime="onnx", threads=1)


def test_a_graph_that_may_not_be_run_is_refused(own: Path) -> None:
    path = find_export(NANO, own)
    assert path is not None
    model = onnx.load(path)
    model.graph.node[3].op_type = "If"
    path.write_bytes(model.SerializeToString())
    change_card(path, sha256=content_sha256(path))
    with pytest.raises(ModelError, match="is not run: it has the operator 'If'"):
        open_clip_embedder(NANO.name, models_dir=own, runtime="onnx")


def test_an_export_of_other_weights_is_not_used(own: Path) -> None:
    path = find_export(NANO, own)
    assert path is not None
    change_card(path, weights_sha256="0" * 64)
    assert find_export(NANO, own) is None
    card_path(path).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="export the model again"):
        find_export(NANO, own)


def change_card(path: Path, **fields: str) -> None:
    card = json.loads(card_path(path).read_text(encoding="utf-8"))
    card_path(path).write_text(json.dumps(card | fields), encoding="utf-8")
