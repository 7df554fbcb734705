"""Exports to ExecuTorch: one XNNPACK delegate, torch's vectors from its own runtime, and planted faults are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("executorch", reason="the extra mobile is not installed")

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.models.conversion.mobile.export import check_export, export_model
from vidsearch.models.conversion.mobile.proof import WrongExportError
from vidsearch.models.conversion.mobile.tower import FormOptions, open_tower
from vidsearch.models.exports import card_path
from vidsearch.models.folder import BUNDLED_DIR, open_folder

# torch.export and the lowering take half a minute; ONNX and Core ML are tried in make test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (exported,) = export_model(NANO, "executorch", ("clip",), "fp32", tmp_path_factory.mktemp("executorch"))
    assert exported.card.versions["delegates"] == "1" and exported.card.versions["operators outside"] == "0"
    assert exported.card.size_bytes <= 3_000_000
    assert min(exported.fidelity.cosine, exported.fidelity.centred) > 0.999999
    return exported.path


@pytest.fixture
def own(program: Path, tmp_path: Path) -> Path:
    """The same, to damage."""
    shutil.copy(card_path(program), tmp_path)
    return Path(shutil.copy(program, tmp_path))


def test_a_damaged_constant_is_caught_and_its_layer_named(own: Path) -> None:
    kernel = open_tower(NANO, "clip").clip_form(FormOptions()).network[2][1].convffn.fc1.weight.numpy().tobytes()
    content = own.read_bytes()
    assert content.count(kernel) == 1
    own.write_bytes(content.replace(kernel, bytes(len(kernel))))
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.2\.1\.convffn\.fc1"):
        check_export(own, NANO)


def test_two_swapped_tables_are_caught_and_their_layer_named(own: Path) -> None:
    blocks = open_tower(NANO, "clip").clip_form(FormOptions()).network[2]
    one, other = (block.temporal.table.numpy().tobytes() for block in blocks)
    content = own.read_bytes()
    assert content.count(one) == content.count(other) == 1
    swapped = content.replace(one, b"?" * len(one)).replace(other, one).replace(b"?" * len(one), other)
    own.write_bytes(swapped)
    with pytest.raises(WrongExportError, match=r"the first layer that differs is network\.2\.[01]\.temporal"):
        check_export(own, NANO)


def test_what_is_no_program_is_one_sentence(own: Path, tmp_path: Path) -> None:
    own.write_bytes(b"nothing like it")
    with pytest.raises(ModelError, match="is no ExecuTorch program"):
        check_export(own, NANO)
    with pytest.raises(VidsearchError, match="five times slower than fp32; choose fp32 or int8-weights"):
        list(export_model(NANO, "executorch", ("clip",), "fp16", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("tower", "precision"), [("text", "fp32"), ("clip", "int8-weights")])
def test_the_other_forms_are_right_too(tmp_path: Path, tower: str, precision: str) -> None:
    list(export_model(NANO, "executorch", (tower,), precision, tmp_path))  # type: ignore[arg-type]
