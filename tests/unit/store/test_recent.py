"""What a library that stays open keeps of videos is true whatever another process does to the library meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from store_shelf import DIM, FACTS, SPEC, Shelf, as_file, windows_of

from vidsearch.records import IndexedVideo, WindowVectors
from vidsearch.store.library import Library
from vidsearch.store.sqlite.recent import ReadVideo, RecentVideos

PICTURES = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)


def read_video(rows: int) -> ReadVideo:
    return ReadVideo(np.zeros((rows, 2)), np.zeros((rows, 4), dtype=np.float32), None)


def put(shelf: Shelf, name: str, vectors: np.ndarray, later_s: float = 0.0) -> Path:
    path = shelf.write(name, f"{name} {later_s}")
    windows = tuple(type(it)(it.start_s + later_s, it.end_s + later_s, it.times_s) for it in windows_of(len(vectors)))
    pictures = PICTURES[: len(vectors)]
    shelf.library.record_indexed(IndexedVideo(as_file(path), name, FACTS, windows, vectors, "nano", SPEC, pictures))
    return path


def same(one: WindowVectors | None, other: WindowVectors | None) -> bool:
    assert one is not None and other is not None
    assert (one.file, one.fingerprint) == (other.file, other.fingerprint)
    pairs = [(one.spans_s, other.spans_s), (one.vectors, other.vectors), (one.pictures, other.pictures)]
    return all(np.array_equal(mine, theirs) for mine, theirs in pairs)  # type: ignore[arg-type]


def test_what_was_not_asked_for_longest_leaves_for_the_next() -> None:
    size = read_video(10).bytes
    recent = RecentVideos(3 * size)
    for first in (1, 2, 3):
        recent.keep(7, first, read_video(10))
    assert recent.get(7, 1) is not None
    assert recent.get(8, 1) is None
    recent.keep(7, 4, read_video(10))
    assert [first for first in (1, 2, 3, 4) if recent.get(7, first) is not None] == [1, 3, 4]
    recent.keep(7, 5, read_video(31))  # more than there is room for
    assert [first for first in (1, 3, 4, 5) if recent.get(7, first) is not None] == [1, 3, 4]
    recent.keep(7, 6, read_video(20))
    assert [first for first in (1, 3, 4, 6) if recent.get(7, first) is not None] == [4, 6]


def test_a_library_that_stays_open_reads_a_video_once(shelf: Shelf) -> None:
    path = put(shelf, "a.mp4", np.eye(3, DIM))
    with Library.open(shelf.home, warm=True) as warm, Library.open(shelf.home) as once:
        first, second = (warm.window_vectors(path, model="nano") for _ in range(2))
        assert first is not None and second is not None
        assert second.vectors is first.vectors
        assert same(first, once.window_vectors(path, model="nano"))
        assert once.window_vectors(path, model="nano").vectors is not first.vectors  # type: ignore[union-attr]
        assert warm.window_vectors(path, model="another") is None
        assert warm.windows_of_videos([path, shelf.root / "none.mp4"], model="nano").keys() == {path}


def test_what_is_kept_of_a_video_ends_with_the_video_and_with_its_content(shelf: Shelf) -> None:
    put(shelf, "b.mp4", -np.eye(3, DIM))
    path = put(shelf, "a.mp4", np.eye(3, DIM))
    with Library.open(shelf.home, warm=True) as warm:
        assert warm.window_vectors(path, model="nano") is not None
        shelf.library.remove(path)
        assert warm.window_vectors(path, model="nano") is None
        put(shelf, "a.mp4", np.eye(3, DIM)[::-1], later_s=1.5)
        assert same(warm.window_vectors(path, model="nano"), shelf.library.window_vectors(path, model="nano"))


def test_what_is_kept_of_a_video_goes_with_its_file(shelf: Shelf) -> None:
    old = shelf.write("old.mp4", "content")
    shelf.index()
    with Library.open(shelf.home, warm=True) as warm:
        before = warm.window_vectors(old, model="nano")
        new = shelf.root / "new.mp4"
        old.rename(new)
        shelf.index()
        after = warm.window_vectors(new, model="nano")
        assert before is not None and after is not None
        assert warm.window_vectors(old, model="nano") is None
        assert after.vectors is before.vectors and after.file.path == new


def test_searches_give_the_same_with_and_without_what_is_kept(indexing_shelf: Shelf) -> None:
    shelf = indexing_shelf
    random = np.random.default_rng(3)
    paths = []
    with shelf.library.writing():
        paths = [put(shelf, f"{n:02}.mp4", random.standard_normal((3, DIM))) for n in range(60)]
    queries = random.standard_normal((4, DIM))
    settings = {"exact_below": 100, "graph_from": 10_000}  # by codes, which take vectors from what is kept
    with Library.open(shelf.home, warm=True, **settings) as warm:
        warm.windows_of_videos(paths[::2], model="nano")

        def is_as_fresh() -> bool:
            with Library.open(shelf.home, **settings) as fresh:
                found = [fresh.search(query, model="nano", limit=20) for query in queries]
            return found == [warm.search(query, model="nano", limit=20) for query in queries]

        assert is_as_fresh()
        shelf.library.remove(paths[0])
        put(shelf, paths[2].name, random.standard_normal((3, DIM)), later_s=2.0)
        for number in range(3):
            put(shelf, f"new-{number}.mp4", queries[number : number + 2])
            assert is_as_fresh()
        shelf.library.remove(shelf.root / "new-1.mp4")
        assert is_as_fresh()
        warm.windows_of_videos(paths, model="nano")
        with shelf.library.writing():
            shelf.library.remove(paths[4])
        assert is_as_fresh()
