"""Exports to ONNX: torch's vectors for any batch, the same bytes twice, and no wrong file is kept or passes a check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from seeded import TEXT_MCT, TEXT_PRUNED, seeded, small_config

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.models.conversion.mobile import to_onnx
from vidsearch.models.conversion.mobile.export import MERGES_FILE, check_export, export_model
from vidsearch.models.conversion.mobile.proof import WrongExportError, prove
from vidsearch.models.conversion.mobile.targets import TARGETS, target_named
from vidsearch.models.conversion.mobile.tower import Tower, open_tower
from vidsearch.models.exports import LEVELS, card_path, read_card
from vidsearch.models.folder import BUNDLED_DIR, ModelFolder, open_folder

SIZE_LIMIT = 3_000_000  # bytes of the bundled model's clip tower


@pytest.fixture(scope="module")
def nano() -> ModelFolder:
    return open_folder(BUNDLED_DIR / "mobileviclip-nano")


@pytest.fixture(scope="module")
def towers(nano: ModelFolder) -> dict[str, Tower]:
    return {"clip": open_tower(nano, "clip"), "text": open_tower(nano, "text")}


@pytest.mark.parametrize("precision", TARGETS["onnx"].precisions)
def test_every_precision_reaches_its_level(nano: ModelFolder, tmp_path: Path, precision: str) -> None:
    made = list(export_model(nano, "onnx", ("clip", "text"), precision, tmp_path))
    assert [exported.card.tower for exported in made] == ["clip", "text"]
    for exported in made:
        onnx.checker.check_model(exported.path, full_check=True)
        assert exported.fidelity.reaches(LEVELS[exported.card.precision])
        assert read_card(exported.path) == exported.card
        assert str(Path(__file__).parents[4]).encode() not in exported.path.read_bytes()
    assert made[0].path.stat().st_size <= SIZE_LIMIT
    assert (tmp_path / MERGES_FILE).is_file()
    card, found = check_export(made[0].path, nano)
    assert (card, found) == (made[0].card, made[0].fidelity)


def test_the_card_states_the_contract(nano: ModelFolder, tmp_path: Path) -> None:
    clip, text = export_model(nano, "onnx", ("clip", "text"), "fp32", tmp_path)
    contract = clip.card.contract
    assert contract["inputs"][0]["shape"] == ["batch", 8, 3, 64, 64] and contract["frames"] == 8
    assert (contract["mean"], contract["std"]) == ([0.5] * 3, [0.25] * 3)
    assert clip.card.versions["onnx opset"] == "20" and clip.card.licence == "MIT"
    assert (text.card.contract["end_token"], text.card.contract["context"]) == (49407, 40)
    rows = np.fromfile(tmp_path / "mobileviclip-nano-token-rows.bin", "<i4")
    assert len(rows) == 49408 and rows.max() == 247


def test_the_same_tower_gives_the_same_bytes_and_any_batch_the_same_vectors(
    towers: dict[str, Tower], tmp_path: Path
) -> None:
    exporter = to_onnx.OnnxExporter()
    for name in ("a", "b"):
        exporter.write(towers["clip"], "fp32", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "a", providers=["CPUExecutionProvider"])
    together = session.run(None, {"clip": towers["clip"].clips})[0]
    np.testing.assert_allclose(together, towers["clip"].expected, rtol=0, atol=1e-6)


def test_nodes_carry_the_path_of_their_module(towers: dict[str, Tower], tmp_path: Path) -> None:
    to_onnx.OnnxExporter().write(towers["clip"], "fp32", tmp_path / "a.onnx")
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    paths = {node.name.rpartition("/")[0] for node in nodes}
    assert {"patch_embed/0/conv", "network/0/0/temporal", "network/7/0/token_mixer/attention/q", "head"} <= paths
    assert [node.output[0] for node in nodes[:-1]] == [
        node.name if "/" in node.name else node.name.lower() for node in nodes[:-1]
    ]


@pytest.mark.parametrize("name", ["mobileviclip-tiny", "mobileclip-s0"])
@pytest.mark.parametrize("text", [TEXT_MCT, TEXT_PRUNED], ids=["mct", "pruned"])
def test_other_networks_too(tmp_path: Path, name: str, text: object) -> None:
    network = seeded(small_config(name, text)).reparameterize()  # type: ignore[arg-type]
    exporter = to_onnx.OnnxExporter()
    for tower in (Tower("clip", network), Tower("text", network)):
        exporter.write(tower, "fp32", tmp_path / tower.name)
        prove(exporter, tmp_path / tower.name, tower, "fp32")


def damaged(model: onnx.ModelProto) -> str:
    """One constant of a layer in the middle is not what it was."""
    tensor = next(each for each in model.graph.initializer if each.name == "network.4.1.convffn.fc1.weight")
    tensor.raw_data = bytes(len(tensor.raw_data) // 2) + tensor.raw_data[len(tensor.raw_data) // 2 :]
    return "network.4.1.convffn"


def swapped(model: onnx.ModelProto) -> str:
    """The frame tables of two blocks change places: a converter has done that without a word."""
    tables = {each.name: each for each in model.graph.initializer}
    a, b = (tables[f"network.2.{block}.temporal.table"] for block in (0, 1))
    a.raw_data, b.raw_data = b.raw_data, a.raw_data
    return "network.2.0.temporal"


def damaged_text(model: onnx.ModelProto) -> str:
    tensor = next(each for each in model.graph.initializer if each.name == "transformer.1.pre_norm_ffn.1.weight")
    tensor.raw_data = bytes(len(tensor.raw_data) // 2) + tensor.raw_data[len(tensor.raw_data) // 2 :]
    return "transformer.1"


@pytest.mark.parametrize(("tower", "fault"), [("clip", damaged), ("clip", swapped), ("text", damaged_text)])
def test_a_planted_fault_is_caught_and_its_layer_named(
    nano: ModelFolder, tmp_path: Path, tower: str, fault: Callable[[onnx.ModelProto], str]
) -> None:
    (exported,) = export_model(nano, "onnx", (tower,), "fp32", tmp_path)  # type: ignore[arg-type]
    model = onnx.load(exported.path)
    layer = fault(model)
    onnx.save(model, exported.path)
    with pytest.raises(WrongExportError, match=rf"the first layer that differs is {layer} \(by"):
        check_export(exported.path, nano)


def test_a_wrong_file_is_not_kept(nano: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer with a fault: the convolution along time looks the wrong way."""
    (kept,) = export_model(nano, "onnx", ("clip",), "fp32", tmp_path)
    before = kept.path.read_bytes()
    write = to_onnx.write_clip_tower

    def faulty(tower: object, path: Path, stored: object) -> None:
        for block in tower.network[0]:  # type: ignore[attr-defined]
            block.temporal.taps[0], block.temporal.taps[2] = block.temporal.taps[2], block.temporal.taps[0]
        write(tower, path, stored)  # type: ignore[arg-type]

    monkeypatch.setattr(to_onnx, "write_clip_tower", faulty)
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.0\.0\.temporal"):
        list(export_model(nano, "onnx", ("clip",), "fp32", tmp_path))
    assert kept.path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [kept.path.name, card_path(kept.path).name]


def test_what_is_not_offered_is_refused(nano: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match="no target 'tensorrt'; choose one of onnx"):
        target_named("tensorrt")
    with pytest.raises(VidsearchError, match="'int4' is none of its precisions; choose fp32 or fp16"):
        list(export_model(nano, "onnx", ("clip",), "int4", tmp_path))
    with pytest.raises(VidsearchError, match="there is no"):
        check_export(tmp_path / "none.onnx", nano)
    (tmp_path / "bare.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"there is no file .*bare\.onnx\.json"):
        check_export(tmp_path / "bare.onnx", nano)
    (exported,) = export_model(nano, "onnx", ("text",), "fp32", tmp_path)
    exported.path.write_bytes(exported.path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="ONNX Runtime does not open"):
        check_export(exported.path, nano)
