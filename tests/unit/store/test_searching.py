"""A search gives the nearest windows, the same ones and the same scores on every way to them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from store_shelf import DIM, FACTS, SPEC, Shelf, as_file, fingerprint, vectors_of, windows_of

from vidsearch.errors import LibraryError
from vidsearch.records import IndexedVideo, ScoredWindow
from vidsearch.store.library import Library
from vidsearch.store.sqlite import searching


def queries(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(8).standard_normal((count, DIM)).astype(np.float32)


def fill(shelf: Shelf, videos: int, windows: int) -> None:
    with shelf.library.writing():
        for number in range(videos):
            shelf.record(shelf.write(f"{number:03}.mp4", f"video {number}"), count=windows)


@pytest.fixture
def small_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index comes into play at sizes that a test can make."""
    monkeypatch.setattr(searching, "EXACT_BELOW", 100)


def test_the_nearest_windows_come_first(shelf: Shelf) -> None:
    fill(shelf, 20, 7)
    stored = {
        (shelf.root / f"{number:03}.mp4", window.start_s): vector / np.linalg.norm(vector)
        for number in range(20)
        for window, vector in zip(
            windows_of(7), vectors_of(shelf.root / f"{number:03}.mp4", 7).astype(np.float64), strict=True
        )
    }
    for query in queries(5):
        direction = query / np.linalg.norm(query)
        expected = sorted(stored, key=lambda key: -float(stored[key] @ direction))[:10]
        hits = shelf.library.search(query, model="nano", limit=10)
        assert [(hit.path, hit.start_s) for hit in hits] == expected
        for hit in hits:
            assert hit.end_s == hit.start_s + 8
            assert hit.score == pytest.approx(float(stored[hit.path, hit.start_s] @ direction), abs=1e-3)  # float16


def test_limits_at_the_edges(shelf: Shelf) -> None:
    fill(shelf, 3, 2)
    query = queries(1)[0]
    assert len(shelf.library.search(query, model="nano", limit=100)) == 6
    assert len(shelf.library.search(query, model="nano", limit=6)) == 6
    assert shelf.library.search(query, model="nano", limit=0) == []


def test_equal_scores_are_ordered_by_path_and_start(shelf: Shelf) -> None:
    same = np.ones((4, DIM), dtype=np.float32)
    for name in ("b.mp4", "a.mp4", "c.mp4"):
        path = shelf.write(name, name)
        shelf.library.record_indexed(IndexedVideo(as_file(path), name, FACTS, windows_of(4), same, "nano", SPEC))
    hits = shelf.library.search(np.ones(DIM), model="nano", limit=6)
    assert [(hit.path.name, hit.start_s) for hit in hits] == [
        *[("a.mp4", start) for start in (0.0, 4.0, 8.0, 12.0)],
        ("b.mp4", 0.0),
        ("b.mp4", 4.0),
    ]


def test_every_way_to_an_answer_gives_the_same_scores(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(shelf, 40, 9)
    for query in queries(5):
        ways: list[list[ScoredWindow]] = [shelf.library.search(query, model="nano", limit=12)]  # matrix
        ways.append(shelf.library.search(query, model="nano", limit=12, under=shelf.root))
        with monkeypatch.context() as patch:
            patch.setattr(searching, "EXACT_BELOW", 100)
            patch.setattr(searching, "ROWS_AT_ONCE", 50)
            ways.append(shelf.library.search(query, model="nano", limit=12, exact=True))
            with shelf.library.writing():
                pass  # makes the index
            shelf.library.search(query, model="nano", limit=12)
            ways.append(shelf.library.search(query, model="nano", limit=12))
        assert ways[1:] == ways[:1] * 3


def test_the_first_search_is_exact_and_the_next_one_asks_the_index(
    shelf: Shelf, small_threshold: None, caplog: pytest.LogCaptureFixture
) -> None:
    fill(shelf, 30, 10)
    query = queries(1)[0]
    with Library.open(shelf.home) as library:
        first = library.search(query, model="nano", limit=5)
        assert library._searcher._indexes == {}
        second = library.search(query, model="nano", limit=5)
        assert len(library._searcher._indexes) == 1
    assert first == second


def test_without_an_index_file_search_is_exact_and_says_so(
    shelf: Shelf, small_threshold: None, caplog: pytest.LogCaptureFixture
) -> None:
    fill(shelf, 30, 10)
    for file in shelf.home.glob("index-*"):
        file.unlink()
    query = queries(1)[0]
    with caplog.at_level(logging.INFO), Library.open(shelf.home) as library:
        answers = [library.search(query, model="nano", limit=5) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert "searching exactly" in caplog.text


def test_a_search_sees_what_another_process_wrote(shelf: Shelf, small_threshold: None) -> None:
    fill(shelf, 30, 10)
    query = queries(1)[0]
    with Library.open(shelf.home) as reader:
        best = [reader.search(query, model="nano", limit=1)[0] for _ in range(3)][-1]
        shelf.library.remove(best.path)
        assert reader.search(query, model="nano", limit=1)[0].path != best.path
        path = shelf.write("new.mp4", "new")
        shelf.library.record_indexed(IndexedVideo(as_file(path), "f", FACTS, windows_of(1), query[None], "nano", SPEC))
        assert reader.search(query, model="nano", limit=1)[0].path == path


def test_small_libraries_notice_changes_too(shelf: Shelf) -> None:
    fill(shelf, 3, 3)
    query = queries(1)[0]
    with Library.open(shelf.home) as reader:
        best = reader.search(query, model="nano", limit=1)[0]
        shelf.library.remove(best.path)
        assert reader.search(query, model="nano", limit=1)[0].path != best.path


def test_a_model_the_library_does_not_hold_is_named(shelf: Shelf) -> None:
    assert shelf.library.search(queries(1)[0], model="nano", limit=3) == []  # nothing indexed yet: nothing found
    fill(shelf, 1, 1)
    with pytest.raises(LibraryError, match="nothing is indexed with the model small, only with nano: search with"):
        shelf.library.search(queries(1)[0], model="small", limit=3)
    with pytest.raises(LibraryError, match="vectors of 32 values for the model nano, the query has 64"):
        shelf.library.search(np.ones(64), model="nano", limit=3)


def test_models_do_not_meet(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.record(path)
    other = shelf.write("b.mp4", "b")
    shelf.library.record_indexed(
        IndexedVideo(as_file(other), "f", FACTS, windows_of(2), vectors_of(other, 2, 64), "small", SPEC)
    )
    assert {hit.path for hit in shelf.library.search(np.ones(DIM), model="nano", limit=9)} == {path}
    assert {hit.path for hit in shelf.library.search(np.ones(64), model="small", limit=9)} == {other}


def test_a_model_leaves_alone(shelf: Shelf) -> None:
    both, alone = shelf.write("a.mp4", "a"), shelf.write("b.mp4", "b")
    shelf.record(both)
    for path in (both, alone):
        shelf.library.record_indexed(
            IndexedVideo(as_file(path), fingerprint(path), FACTS, windows_of(2), vectors_of(path, 2, 64), "small", SPEC)
        )
    leftover = shelf.library.folder / "index-2.hnsw"
    leftover.touch()
    assert shelf.library.remove_model("small") == 4
    assert not leftover.exists()
    assert [model.name for model in shelf.library.info().models] == ["nano"]
    assert [row.path for row in shelf.library.videos()] == [both]  # what only the other model knew has left
    assert {hit.path for hit in shelf.library.search(np.ones(DIM), model="nano", limit=9)} == {both}
    assert shelf.library.check() == []
    with pytest.raises(LibraryError, match="no vectors of small; it holds those of: nano"):
        shelf.library.remove_model("small")
    shelf.library.record_indexed(
        IndexedVideo(as_file(alone), "f", FACTS, windows_of(2), vectors_of(alone, 2, 32), "small", SPEC)
    )
    assert len(shelf.library.search(np.ones(32), model="small", limit=9)) == 2


def test_a_query_without_direction_is_a_bug(shelf: Shelf) -> None:
    for vector in (np.zeros(DIM), np.full(DIM, np.nan), np.ones((1, DIM))):
        with pytest.raises(ValueError, match="query"):
            shelf.library.search(vector, model="nano", limit=1)


def test_the_order_of_indexing_does_not_change_the_answer(tmp_path: Path) -> None:
    answers = []
    for order in (1, -1):
        with Library.open(tmp_path / f"home{order}") as library:
            for number in range(10)[::order]:
                path = tmp_path / f"{number}.mp4"
                path.write_text(str(number))
                vectors = vectors_of(path, 3)
                library.record_indexed(
                    IndexedVideo(as_file(path), str(number), FACTS, windows_of(3), vectors, "nano", SPEC)
                )
            hits = library.search(np.ones(DIM), model="nano", limit=30)
            answers.append([(hit.path, hit.start_s, hit.score) for hit in hits])
    assert answers[0] == answers[1]
