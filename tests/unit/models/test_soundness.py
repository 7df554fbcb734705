"""A model folder is compared with its hashes when it is first opened and after a file changed, and else not read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vidsearch import dirs
from vidsearch.errors import ModelError
from vidsearch.models import soundness
from vidsearch.models.folder import BUNDLED_DIR, ModelFolder, open_folder
from vidsearch.models.hashes import write_hashes
from vidsearch.models.soundness import require_sound


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    shutil.copytree(BUNDLED_DIR / "mobileviclip-nano", tmp_path / "mobileviclip-nano")
    return open_folder(tmp_path / "mobileviclip-nano", origin="installed")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models whose files were compared with their hashes."""
    seen: list[str] = []
    compare = soundness.wrong_files

    def counted(folder: ModelFolder) -> list[str]:
        seen.append(folder.name)
        return compare(folder)

    monkeypatch.setattr(soundness, "wrong_files", counted)
    return seen


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_folder_is_looked_at_once(folder: ModelFolder, looks: list[str]) -> None:
    for _ in range(3):
        require_sound(folder)
    assert looks == [folder.name]


@pytest.mark.parametrize("name", ["model.safetensors", "text.onnx", "config.json"])
def test_a_file_that_changed_is_found_although_size_and_time_are_as_before(folder: ModelFolder, name: str) -> None:
    require_sound(folder)
    file = folder.path / name
    before = file.stat()
    flip_last_byte(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        ModelError, match=rf"{name} has changed in .*mobileviclip-nano; install mobileviclip-nano again"
    ):
        require_sound(folder)


def test_a_file_that_was_only_touched_is_compared_again(folder: ModelFolder, looks: list[str]) -> None:
    require_sound(folder)
    folder.weights.touch()
    require_sound(folder)
    require_sound(folder)
    assert looks == [folder.name] * 2


def test_a_folder_that_was_replaced_is_looked_at_anew(folder: ModelFolder, looks: list[str]) -> None:
    require_sound(folder)
    shutil.rmtree(folder.path)
    shutil.copytree(BUNDLED_DIR / "mobileviclip-nano", folder.path)
    require_sound(folder)
    assert len(looks) == 2


def test_matching_hashes_do_not_make_a_text_encoder_runnable(folder: ModelFolder) -> None:
    folder.text_encoder.write_bytes(folder.text_encoder.read_bytes()[:1000])
    write_hashes(folder.path)
    with pytest.raises(ModelError, match=r"text\.onnx is not run"):
        require_sound(folder)


def test_a_missing_file_and_missing_hashes_are_named(folder: ModelFolder) -> None:
    folder.card.unlink()
    with pytest.raises(ModelError, match=r"MODEL_CARD\.md is missing in"):
        require_sound(folder)
    (folder.path / "hashes.json").unlink()
    with pytest.raises(ModelError, match=r"there is no file .*hashes\.json; install mobileviclip-nano again"):
        require_sound(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 0, "marks": {}}', '{"marks": 3}', "[" * 100_000])
def test_a_damaged_memory_is_made_anew(folder: ModelFolder, looks: list[str], content: str) -> None:
    require_sound(folder)
    (memory,) = (dirs.cache_dir() / "models").iterdir()
    memory.write_text(content, encoding="utf-8")
    require_sound(folder)
    require_sound(folder)
    assert len(looks) == 2


def test_without_a_cache_every_opening_looks(folder: ModelFolder, looks: list[str]) -> None:
    dirs.cache_dir().parent.mkdir(parents=True, exist_ok=True)
    dirs.cache_dir().write_text("not a folder", encoding="utf-8")
    require_sound(folder)
    require_sound(folder)
    assert len(looks) == 2
