"""A hit's number names a moment of a content: it follows the file, or says why it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidsearch.errors import VidsearchError
from vidsearch.records import ClipWindow, Hit, IndexedVideo, VectorExtractor, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.interface import Library
from vidsearch.store.library import open_library
from vidsearch.store.plan import PlanRequest
from vidsearch.video.fingerprint import fingerprint
from vidsearch.workflows.hits import FoundHit, hit_of_number
from vidsearch.workflows.moments import merge_windows


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with open_library(tmp_path / "home") as opened:
        yield opened


def as_file(path: Path) -> VideoFile:
    return VideoFile(path, path.stat().st_size, path.stat().st_mtime_ns)


def index(library: Library, path: Path) -> None:
    facts = VideoFacts(0.0, 8.0, 25.0, 200, 64, 48, "h264", "mp4", 0, "pyav")
    windows = (ClipWindow(0.0, 8.0, (0.0,)),)
    library.record_indexed(
        IndexedVideo(as_file(path), fingerprint(path), facts, windows, np.ones((1, 4)), "m", WindowSpec())
    )


def query(library: Library) -> list[Hit]:
    hits = merge_windows(library.search(np.ones(4), model="m", limit=9), model="m", top=9, per_video=3)
    assert library.save_hits("a red ball", hits)
    return hits


@pytest.fixture
def video(library: Library, tmp_path: Path) -> Path:
    """Indexed, and hit 1 of the last query."""
    path = tmp_path / "a.mp4"
    path.write_text("a red ball")
    index(library, path)
    assert [hit.path for hit in query(library)] == [path]
    return path


def test_a_hit_is_where_it_was(library: Library, video: Path) -> None:
    found = hit_of_number(library, 1)
    assert (found.hit.path, found.moved_from, found.hit.fingerprint) == (video, None, fingerprint(video))


def test_a_hit_outlives_a_second_indexing_of_its_content(library: Library, video: Path) -> None:
    index(library, video)
    assert hit_of_number(library, 1).hit.path == video


def test_a_hit_follows_a_file_whose_new_place_was_indexed(library: Library, video: Path, tmp_path: Path) -> None:
    moved = video.rename(tmp_path / "b.mp4")
    wanted = frozenset({VectorExtractor("m", WindowSpec())})
    library.apply(library.plan(PlanRequest(tmp_path, [as_file(moved)], wanted, fingerprint)))
    hit = library.last_hits()[1][0]
    assert hit_of_number(library, 1) == FoundHit(replace(hit, path=moved), moved_from=video)


def test_a_hit_whose_file_is_gone_says_so(library: Library, video: Path, tmp_path: Path) -> None:
    video.rename(tmp_path / "b.mp4")
    with pytest.raises(VidsearchError, match=rf"Hit 1 is a moment of {video}, which is not there now; plug"):
        hit_of_number(library, 1)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_hit_whose_file_was_replaced_is_refused(library: Library, video: Path, indexed: bool) -> None:
    video.write_text("something else")
    if indexed:
        index(library, video)
    with pytest.raises(VidsearchError, match=rf"Hit 1 was a moment of {video}, which holds something else now"):
        hit_of_number(library, 1)


def test_a_hit_kept_by_an_earlier_version_is_taken_as_it_is(library: Library, video: Path) -> None:
    library.save_hits("a red ball", [Hit(1, video, 0.0, 8.0, 4.0, 1.0, "m")])
    video.write_text("something else")
    assert hit_of_number(library, 1).hit.path == video


@pytest.mark.parametrize("earlier", ["hit", "library"])
def test_the_earlier_form_of_a_fingerprint_is_followed_too(
    library: Library, video: Path, tmp_path: Path, earlier: str
) -> None:
    (hit,) = library.last_hits()[1]
    old_form = fingerprint(video).partition("-")[0]
    moved = video.rename(tmp_path / "b.mp4")
    library.remove(video)
    index(library, moved)
    if earlier == "hit":
        library.save_hits("a red ball", [replace(hit, fingerprint=old_form)])
    else:
        facts = VideoFacts(0.0, 8.0, 25.0, 200, 64, 48, "h264", "mp4", 0, "pyav")
        windows = (ClipWindow(0.0, 8.0, (0.0,)),)
        library.remove(moved)
        library.record_indexed(
            IndexedVideo(as_file(moved), old_form, facts, windows, np.ones((1, 4)), "m", WindowSpec())
        )
    assert hit_of_number(library, 1).hit.path == moved


def test_a_number_that_no_hit_has_says_how_many_there_are(library: Library) -> None:
    with pytest.raises(VidsearchError, match=r"There is no hit 1: no query was made yet; query first"):
        hit_of_number(library, 1)
    library.save_hits("a zebra", [])
    with pytest.raises(VidsearchError, match=r"There is no hit 1: the last query, 'a zebra', found 0; query first"):
        hit_of_number(library, 1)


def test_equal_copies_are_one_hit(library: Library, video: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(video.read_bytes())
    index(library, copy)
    assert len(library.search(np.ones(4), model="m", limit=9)) == 2
    assert [hit.path for hit in query(library)] == [video]
    video.unlink()  # then the other one is shown: the first is out of reach
    library.remove(video)
    assert [hit.path for hit in query(library)] == [copy]
