"""An unplugged disk is not a deletion: real folders on two file systems stand for the disks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from store_shelf import DIM, Shelf

from vidsearch.store.availability import Availability, describe_root, device_of

MEMORY = Path("/dev/shm")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the tests' own."""
    if not MEMORY.is_dir() or device_of(MEMORY) == device_of(tmp_path):
        pytest.skip("needs a second file system, such as /dev/shm on Linux")
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


def plug_in(mount_point: Path, disk: Path) -> None:
    """A link serves as the mount: what lies below it is on the other file system."""
    if mount_point.exists():
        mount_point.rmdir()
    mount_point.symlink_to(disk)


def unplug(mount_point: Path) -> None:
    mount_point.unlink()
    mount_point.mkdir()


def test_a_missing_root_keeps_its_videos_and_marks_them(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    shelf.root.rename(tmp_path / "elsewhere")
    plan = shelf.plan(found=[])
    assert (plan.offline, plan.gone, plan.kept_offline) == (True, (), (path,))
    shelf.library.apply(plan)
    assert [row.state for row in shelf.library.videos()] == ["offline"]
    assert [hit.offline for hit in shelf.library.search(np.ones(DIM), model="nano", limit=1)] == [True]
    info = shelf.library.info()
    assert ([root.offline for root in info.roots], info.offline, info.indexed) == ([True], 1, 1)
    (tmp_path / "elsewhere").rename(shelf.root)
    assert len(shelf.index().unchanged) == 1
    assert [row.state for row in shelf.library.videos()] == ["indexed"]


def test_an_empty_folder_in_the_place_of_the_root_is_a_mount_point(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.index()
    shelf.root.rename(tmp_path / "elsewhere")
    shelf.root.mkdir()
    plan = shelf.index()
    assert (plan.offline, plan.gone, plan.kept_offline) == (True, (), (path,))
    assert shelf.paths() == [path]


def test_an_unplugged_disk_keeps_its_videos_and_a_new_file_beside_does_not_change_that(
    shelf: Shelf, disk: Path
) -> None:
    mount_point = shelf.root / "usb"
    plug_in(mount_point, disk)
    path = shelf.write("usb/a.mp4", "a")
    shelf.write("home.mp4", "home")
    shelf.index()
    unplug(mount_point)
    shelf.write("usb/by mistake.mp4", "saved on the mount point")
    plan = shelf.index()
    assert (plan.offline, plan.gone, plan.kept_offline) == (False, (), (path,))
    states = {row.path.name: row.state for row in shelf.library.videos()}
    assert states == {"a.mp4": "offline", "home.mp4": "indexed", "by mistake.mp4": "indexed"}


def test_a_file_deleted_from_a_disk_that_is_there_leaves(shelf: Shelf, disk: Path) -> None:
    plug_in(shelf.root / "usb", disk)
    path = shelf.write("usb/a.mp4", "a")
    shelf.write("usb/b.mp4", "b")
    shelf.index()
    path.unlink()
    assert shelf.index().gone == (path,)


def test_a_disk_that_comes_back_under_another_number_is_recognised_by_its_files(shelf: Shelf, disk: Path) -> None:
    shelf.write("a.mp4", "a", mtime_s=1000)
    path = shelf.write("b.mp4", "b", mtime_s=2000)
    shelf.index()
    # The same files on another file system: what a new number after a restart looks like.
    shutil.copytree(shelf.root, disk, dirs_exist_ok=True)
    shutil.rmtree(shelf.root)
    shelf.root.symlink_to(disk)
    path.unlink()
    plan = shelf.index()
    assert plan.gone == (path,)
    assert [file.path.name for file in plan.unchanged] == ["a.mp4"]
    (shelf.root / "a.mp4").unlink()
    assert len(shelf.index().gone) == 1  # the new number was noted


def test_content_found_on_another_disk_leaves_the_offline_copy(shelf: Shelf, disk: Path, tmp_path: Path) -> None:
    plug_in(shelf.root / "usb", disk)
    path = shelf.write("usb/a.mp4", "a")
    shelf.index(shelf.root / "usb")
    unplug(shelf.root / "usb")
    copy = tmp_path / "kept" / "a.mp4"
    copy.parent.mkdir()
    copy.write_text("a")
    plan = shelf.index(copy.parent)
    assert (plan.moved, [item.source for item in plan.copied]) == ((), [path])
    assert [(row.path, row.state) for row in shelf.library.videos()] == [(copy, "indexed"), (path, "offline")]


def test_what_cannot_be_looked_at_is_offline(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    known = describe_root(root)
    loop = root / "loop"
    loop.symlink_to(loop)  # looking through it is an error that is not "no such file"
    assert Availability([known]).where_is(loop / "a.mp4", known.device) == "offline"
    assert Availability([known]).where_is(root / "a.mp4", known.device) == "gone"
