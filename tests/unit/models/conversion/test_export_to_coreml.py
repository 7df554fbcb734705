"""Exports to Core ML: the saved package, computed with torch, gives torch's vectors, and planted faults are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("coremltools", reason="the extra mobile is not installed")

from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobile.export import check_export, export_model
from vidsearch.models.conversion.mobile.mil_interpreter import Package
from vidsearch.models.conversion.mobile.proof import WrongExportError
from vidsearch.models.conversion.mobile.tower import FormOptions, open_tower
from vidsearch.models.exports import card_path
from vidsearch.models.folder import BUNDLED_DIR, open_folder

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
WEIGHTS = Path("Data", "com.apple.CoreML", "weights", "weight.bin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both towers for iOS 17, the clip tower in float32 so that its constants are found as they are."""
    out = tmp_path_factory.mktemp("coreml")
    list(export_model(NANO, "coreml", ("clip",), "fp32", out))
    list(export_model(NANO, "coreml", ("text",), "fp16", out))
    return out


def copied(folder: Path, name: str, to: Path) -> Path:
    shutil.copytree(folder / name, to / name)
    shutil.copy(card_path(folder / name), card_path(to / name))
    return to / name


def test_the_packages_are_right(folder: Path) -> None:
    for name, level in (("clip-fp32", 0.999999), ("text-fp16", 0.9999)):
        path = folder / f"mobileviclip-nano-{name}.mlpackage"
        card, found = check_export(path, NANO)
        assert found.cosine > level and found.centred > level
        assert Package(path).specification == 8  # iOS 17
        assert card.versions["deployment"] == "iOS17"


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8-weights"])
def test_ios_18_takes_newer_operators(tmp_path: Path, precision: str) -> None:
    (exported,) = export_model(NANO, "coreml-ios18", ("clip",), precision, tmp_path)
    assert Package(exported.path).specification == 9
    assert exported.card.size_bytes <= 1_600_000


@pytest.mark.parametrize("swapped", [False, True], ids=["a damaged constant", "two tables swapped"])
def test_a_planted_fault_is_caught_and_its_layer_named(folder: Path, tmp_path: Path, swapped: bool) -> None:
    path = copied(folder, "mobileviclip-nano-clip-fp32.mlpackage", tmp_path)
    blocks = open_tower(NANO, "clip").clip_form(FormOptions()).network[2]
    content = (path / WEIGHTS).read_bytes()
    if swapped:
        one, other = (block.temporal.table.numpy().tobytes() for block in blocks)
        assert content.count(one) == content.count(other) == 1
        content = content.replace(one, b"?" * len(one)).replace(other, one).replace(b"?" * len(one), other)
        layer = "network.2.0.temporal"
    else:
        kernel = blocks[1].convffn.fc1.weight.numpy().tobytes()
        assert content.count(kernel) == 1
        content = content.replace(kernel, np.zeros(len(kernel), np.uint8).tobytes())
        layer = "network.2.1.convffn"
    (path / WEIGHTS).write_bytes(content)
    with pytest.raises(WrongExportError, match=rf"the first layer that differs is {layer} \(by"):
        check_export(path, NANO)


def test_what_is_no_package_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    path = copied(folder, "mobileviclip-nano-text-fp16.mlpackage", tmp_path)
    (path / "Manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="is no Core ML package, or is damaged"):
        check_export(path, NANO)
