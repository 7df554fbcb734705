"""A query says that a folder has changed since it was indexed, and keeps quiet about what changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch

from vidsearch.store import freshness
from vidsearch.store.freshness import NAME, changed_folders
from vidsearch.video.discover import looks_like_video

pytestmark = pytest.mark.needs_torch  # folders are indexed


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no reason to look at fewer folders here."""
    monkeypatch.setattr(freshness, "DEADLINE_S", 60.0)


@pytest.fixture
def footage(tmp_path: Path, command: RunVidsearch) -> Path:
    folder = tmp_path / "footage"
    (folder / "below").mkdir(parents=True)
    for place in (folder / "a.mp4", folder / "below" / "b.mp4"):
        shutil.copyfile(CLIPS / "red-square-left.mp4", place)
    assert command("index", folder).returncode == 0
    return folder


def said(command: RunVidsearch, *before: str) -> str:
    return command(*before, "query", "a red square", "--all").stderr.decode()


def test_an_unchanged_folder_is_not_mentioned(command: RunVidsearch, footage: Path) -> None:
    (footage / "below" / "notes.txt").touch()  # changes the folder, not its videos
    assert "changed" not in said(command)


def test_a_new_video_is_told_with_the_line_that_takes_it_in(command: RunVidsearch, footage: Path) -> None:
    shutil.copyfile(CLIPS / "red-square-left.mp4", footage / "below" / "c.mp4")
    line = f"A folder has changed under {footage} since the last run; vidsearch index {footage} catches up.\n"
    assert line in said(command)
    assert "changed" not in said(command, "-q")
    assert command("index", footage).returncode == 0
    assert "changed" not in said(command)


def test_missing_videos_and_folders_are_told(command: RunVidsearch, footage: Path) -> None:
    (footage / "a.mp4").rename(footage / "z.mp4")
    shutil.rmtree(footage / "below")
    assert f"2 folders have changed under {footage} since" in said(command)


def test_a_hit_in_a_file_that_was_overwritten_says_so(command: RunVidsearch, footage: Path) -> None:
    place = footage / "a.mp4"
    shutil.copyfile(CLIPS / "blue-heart-grows.mp4", place)
    line = f"{place} has changed since it was indexed, and may show something else now; vidsearch index {footage} "
    assert line in said(command)
    assert "changed" not in said(command, "-q")
    assert command("index", footage).returncode == 0
    assert "changed" not in said(command)


def test_a_file_with_a_time_beyond_what_a_database_keeps_has_not_changed(command: RunVidsearch, footage: Path) -> None:
    later_ns = 10**19  # the year 2286, behind 64 bits
    try:
        os.utime(footage / "a.mp4", ns=(later_ns, later_ns))
    except (OSError, OverflowError):
        pytest.skip("the file system keeps no such time")
    if (footage / "a.mp4").stat().st_mtime_ns != later_ns:
        pytest.skip("the file system keeps no such time")
    assert command("index", footage).returncode == 0
    assert "changed" not in said(command)


def test_an_unplugged_folder_is_not_behind(command: RunVidsearch, footage: Path, tmp_path: Path) -> None:
    footage.rename(tmp_path / "elsewhere")
    assert "changed" not in said(command)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"version": 1, "walks": [1]}', '{"version": 1, "walks": {"/": {"/": 1}}}']
)
def test_a_damaged_cache_says_nothing(command: RunVidsearch, footage: Path, own_home: Path, damage: str) -> None:
    (own_home / NAME).write_text(damage)
    (footage / "a.mp4").unlink()
    assert "changed" not in said(command)


def test_no_more_time_is_spent_than_is_given(footage: Path, own_home: Path) -> None:
    (footage / "a.mp4").unlink()
    assert changed_folders(own_home, looks_like_video, [footage]) == {footage: 1}
    assert changed_folders(own_home, looks_like_video, [footage], deadline_s=-1) == {}
