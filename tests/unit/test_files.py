"""Files and folders are replaced whole or not at all, and nothing stays of a write that failed."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from vidsearch.files import (
    absolute,
    remove_folder,
    replacing,
    replacing_folder,
    restore_folder,
    sha256,
    why_not_writable,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_the_old_ones_place(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")
    with replacing(path, durable=durable) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert (path.read_text(), names(tmp_path)) == ("new", ["card.json"])


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="half way"), replacing(path) as partial:
        partial.write_text("half")
        raise ValueError("half way")
    assert (path.read_text(), names(tmp_path)) == ("old", ["card.json"])


@pytest.mark.parametrize(("private", "mode"), [(False, 0o640), (True, 0o600)])
def test_who_may_read_a_file_follows_from_the_mask(tmp_path: Path, private: bool, mode: int) -> None:
    mask = os.umask(0o027)
    try:
        with replacing(tmp_path / "file", private=private) as partial:
            partial.write_text("x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_folder_takes_the_old_ones_place(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with replacing_folder(folder) as partial:
        (partial / "new").touch()
        assert names(folder) == ["old"]
    assert (names(folder), names(tmp_path)) == (["new"], ["model"])


def test_a_folder_that_fails_leaves_the_old_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(OSError, match="full"), replacing_folder(folder) as partial:
        (partial / "new").touch()
        raise OSError("full")
    assert (names(folder), names(tmp_path)) == (["old"], ["model"])


def test_a_folder_that_had_moved_aside_comes_back(tmp_path: Path) -> None:
    (tmp_path / ".model.7.old").mkdir()
    (tmp_path / ".model.7.old" / "old").touch()
    (tmp_path / ".model.7.part").mkdir()
    restore_folder(tmp_path / "model")
    assert (names(tmp_path), names(tmp_path / "model")) == (["model"], ["old"])


def test_a_folder_is_removed_also_after_a_removal_was_cut(tmp_path: Path) -> None:
    for name in ("model", ".model.leaving"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").touch()
    remove_folder(tmp_path / "model")
    assert names(tmp_path) == []


def test_the_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 7)
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_paths_lose_their_dots_and_keep_their_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert absolute(tmp_path / "link" / "sub" / ".." / "film.mp4") == tmp_path / "link" / "film.mp4"


def test_a_folder_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert why_not_writable(tmp_path / "file" / "folder") == "cannot be made (Not a directory)"
    assert why_not_writable(tmp_path / "a" / "b") is None
    assert (tmp_path / "a" / "b").is_dir()
