"""Exports to LiteRT: torch's vectors from its own interpreter; the converter's own fault and planted ones are found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from seeded import seeded, small_config

pytest.importorskip("litert_torch", reason="the extra litert is not installed; make test-litert has it")

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile import to_litert
from vidsearch.models.conversion.mobile.export import check_export, export_model
from vidsearch.models.conversion.mobile.proof import WrongExportError, prove
from vidsearch.models.conversion.mobile.tower import FormOptions, Tower, layer_values, open_tower
from vidsearch.models.exports import LEVELS, TowerName, card_path, read_card
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobileviclip.config import TemporalConfig

SHIFTED = FormOptions(temporal="shifted", doubling="grouped")
NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
MOST_BYTES = {"fp32": 3_000_000, "fp16": 1_600_000, "int8-weights": 1_000_000}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both towers in float32, so that constants are found as they are."""
    out = tmp_path_factory.mktemp("litert")
    for exported in export_model(NANO, "litert", ("clip", "text"), "fp32", out):
        assert min(exported.fidelity.cosine, exported.fidelity.centred) > 0.999999
    return out


def copied(folder: Path, tower: TowerName, to: Path) -> Path:
    """An export with its card, to damage."""
    name = f"mobileviclip-nano-{tower}-fp32.tflite"
    shutil.copy(card_path(folder / name), to)
    return Path(shutil.copy(folder / name, to))


@pytest.mark.parametrize("tower", ["clip", "text"])
@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_smaller_weights_reach_their_level(tmp_path: Path, tower: TowerName, precision: str) -> None:
    (exported,) = export_model(NANO, "litert", (tower,), precision, tmp_path)
    assert exported.fidelity.reaches(LEVELS[exported.card.precision])
    assert exported.card.size_bytes <= MOST_BYTES[precision]


def test_the_card_states_the_contract(folder: Path) -> None:
    card = read_card(folder / "mobileviclip-nano-clip-fp32.tflite")
    (clip,), vector = card.contract["inputs"], card.contract["output"]
    assert (clip["name"], clip["shape"], vector["name"]) == ("clip", [8, 3, 64, 64], "vector")
    assert card.versions["litert-torch"].startswith("0.10.") and card.size_bytes <= MOST_BYTES["fp32"]
    text = read_card(folder / "mobileviclip-nano-text-fp32.tflite")
    assert [each["name"] for each in text.contract["inputs"]] == ["ids", "end"]


@pytest.mark.parametrize("tower", ["clip", "text"])
def test_every_layer_is_found_in_the_file_and_is_torchs(folder: Path, tower: TowerName) -> None:
    opened = open_tower(NANO, tower)
    exporter = to_litert.LitertExporter()
    found = dict(exporter.layers(folder / f"mobileviclip-nano-{tower}-fp32.tflite", opened))
    assert list(found) == [path for path, _ in layer_values(opened.form(to_litert.FORM), opened.feeds()[0])]
    assert max(found.values()) < 1e-5


def test_the_same_tower_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    to_litert.LitertExporter().write(open_tower(NANO, "text"), "fp32", tmp_path / "again")
    first = (folder / "mobileviclip-nano-text-fp32.tflite").read_bytes()
    assert (tmp_path / "again").read_bytes() == first
    assert str(Path(__file__).parents[4]).encode() not in first


@pytest.mark.parametrize("options", [to_litert.FORM, SHIFTED], ids=str)
def test_tables_that_are_not_contiguous_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: FormOptions
) -> None:
    """In either form, and with a table in each block of attention."""
    temporal = TemporalConfig(tpe_place="block")
    network = seeded(replace(small_config("mobileviclip-tiny"), temporal=temporal)).reparameterize()
    monkeypatch.setattr(to_litert, "FORM", options)
    tower, exporter = Tower("clip", network), to_litert.LitertExporter()
    exporter.write(tower, "fp32", tmp_path / "small.tflite")
    assert prove(exporter, tmp_path / "small.tflite", tower, "fp32").largest_difference < 1e-6


def test_the_converters_own_fault_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without contiguous constants it takes one block's table for another's."""
    monkeypatch.setattr(to_litert, "FORM", SHIFTED)
    monkeypatch.setattr(to_litert, "_with_ordered_constants", lambda form: form)
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.\d\.[01]\.temporal \(by"):
        list(export_model(NANO, "litert", ("clip",), "fp32", tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_damaged_constant_is_caught_and_its_layer_named(folder: Path, tmp_path: Path) -> None:
    own = copied(folder, "clip", tmp_path)
    kernel = open_tower(NANO, "clip").clip_form(to_litert.FORM).network[2][1].convffn.fc1.weight.numpy().tobytes()
    content = own.read_bytes()
    assert content.count(kernel) == 1
    own.write_bytes(content.replace(kernel, bytes(len(kernel))))
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.2\.1\.convffn \(by"):
        check_export(own, NANO)


def test_two_swapped_tables_are_caught_and_their_layer_named(folder: Path, tmp_path: Path) -> None:
    own = copied(folder, "clip", tmp_path)
    blocks = open_tower(NANO, "clip").clip_form(to_litert.FORM).network[2]
    one, other = (block.temporal.table[0, :, :, 0].T.numpy().tobytes() for block in blocks)  # (T, C)
    content = own.read_bytes()
    assert content.count(one) == content.count(other) == 1
    swapped = content.replace(one, b"?" * len(one)).replace(other, one).replace(b"?" * len(one), other)
    own.write_bytes(swapped)
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.2\.0\.temporal \(by"):
        check_export(own, NANO)


def test_what_is_no_model_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    own = copied(folder, "text", tmp_path)
    whole = own.read_bytes()
    own.write_bytes(b"nothing like it")
    with pytest.raises(ModelError, match="is no LiteRT model; export it again"):
        check_export(own, NANO)
    own.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="LiteRT does not open"):
        check_export(own, NANO)
    own.write_bytes((folder / "mobileviclip-nano-clip-fp32.tflite").read_bytes())
    with pytest.raises(ModelError, match="LiteRT fails on"):
        check_export(own, NANO)
