"""A search gives the nearest windows, the same ones and the same scores on every way to them."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from store_shelf import DIM, FACTS, SPEC, Shelf, as_file, fingerprint, vectors_of, windows_of

from vidsearch.errors import LibraryError
from vidsearch.records import IndexedVideo, Under
from vidsearch.store import vector_index
from vidsearch.store.library import Library

WAYS = {"index": (100, 100), "codes": (100, 1000), "matrix": (1000, 1000)}


def queries(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(8).standard_normal((count, DIM)).astype(np.float32)


def fill(shelf: Shelf, videos: int, windows: int) -> None:
    with shelf.library.writing():
        for number in range(videos):
            shelf.record(shelf.write(f"{number:03}.mp4", f"video {number}"), count=windows)


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


def routes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """How the searches since the last call found their windows."""
    taken = [record.args[2] for record in caplog.records if record.msg.startswith("searched")]  # type: ignore[index]
    caplog.clear()
    return taken  # type: ignore[return-value]


@pytest.mark.needs_hnswlib
def test_every_way_to_an_answer_gives_the_same_scores(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    fill(shelf, 40, 20)
    everything = (Under(shelf.root),)
    with (
        caplog.at_level(logging.INFO),
        Library.open(shelf.home) as matrix,
        Library.open(shelf.home, exact_below=100) as codes,
        Library.open(shelf.home, exact_below=100, graph_from=100, warm=True) as index,
    ):
        with index.writing():
            pass  # makes the index file
        for query in queries(5):
            answers = [
                matrix.search(query, model="nano", limit=12),
                matrix.search(query, model="nano", limit=12, filters=everything),
                codes.search(query, model="nano", limit=12, exact=True),
                codes.search(query, model="nano", limit=12),
                codes.search(query, model="nano", limit=12, filters=everything),
                index.search(query, model="nano", limit=12),
                index.search(query, model="nano", limit=12, filters=everything),
            ]
            assert answers == answers[:1] * 7
            assert routes(caplog) == ["matrix", "matrix", "pass", "codes", "codes", "index", "codes"]


def test_a_filter_acts_before_the_ranking(shelf: Shelf) -> None:
    fill(shelf, 20, 7)
    worst = shelf.library.search(queries(1)[0], model="nano", limit=140)[-1].path
    with Library.open(shelf.home) as once:
        for library in (once, shelf.library):  # by a pass, and in the matrix
            hits = library.search(queries(1)[0], model="nano", limit=5, filters=(Under(worst),))
            assert [hit.path for hit in hits] == [worst] * 5
    none = shelf.library.search(
        queries(1)[0], model="nano", limit=5, filters=(Under(worst), Under(shelf.root / "elsewhere"))
    )
    assert none == []  # both must hold


@pytest.mark.needs_hnswlib
def test_the_first_search_reads_codes_and_the_next_one_asks_the_index(
    indexing_shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    fill(indexing_shelf, 30, 10)
    query = queries(1)[0]
    with caplog.at_level(logging.INFO), Library.open(indexing_shelf.home, exact_below=100, graph_from=100) as library:
        first, second = (library.search(query, model="nano", limit=5) for _ in range(2))
    assert routes(caplog) == ["codes", "index"]
    assert first == second


@pytest.mark.needs_hnswlib
def test_a_graph_of_another_machine_is_no_trouble_where_hnswlib_is_missing(
    indexing_shelf: Shelf, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(indexing_shelf, 30, 10)
    query = queries(1)[0]
    with Library.open(indexing_shelf.home, exact_below=100, graph_from=100, warm=True) as library:
        expected = library.search(query, model="nano", limit=5)
    monkeypatch.setitem(sys.modules, "hnswlib", None)  # an import fails
    monkeypatch.setattr(vector_index, "is_installed", lambda: False)
    with (
        caplog.at_level(logging.INFO),
        Library.open(indexing_shelf.home, exact_below=100, graph_from=100, warm=True) as library,
    ):
        assert [library.search(query, model="nano", limit=5) for _ in range(2)] == [expected] * 2
        assert library.check() == []
        indexing_shelf.record(indexing_shelf.write("more.mp4", "more"), count=10)
        library.rebuild()
        assert library.check() == []
    assert "index" not in routes(caplog)


def test_without_an_index_file_search_is_exact_and_says_so(
    indexing_shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    fill(indexing_shelf, 30, 10)
    for file in indexing_shelf.home.glob("index-*"):
        file.unlink()
    query = queries(1)[0]
    with caplog.at_level(logging.INFO), Library.open(indexing_shelf.home, exact_below=100, graph_from=100) as library:
        answers = [library.search(query, model="nano", limit=5) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert "no codes in step for nano: searching exactly" in caplog.text
    assert routes(caplog) == ["pass"] * 3


def test_a_search_sees_what_another_process_wrote(indexing_shelf: Shelf) -> None:
    shelf = indexing_shelf
    fill(shelf, 30, 10)
    query = queries(1)[0]
    with Library.open(shelf.home, exact_below=100, graph_from=100) as reader:
        best = [reader.search(query, model="nano", limit=1)[0] for _ in range(3)][-1]
        shelf.library.remove(best.path)
        assert reader.search(query, model="nano", limit=1)[0].path != best.path
        path = shelf.write("new.mp4", "new")
        shelf.library.record_indexed(IndexedVideo(as_file(path), "f", FACTS, windows_of(1), query[None], "nano", SPEC))
        assert reader.search(query, model="nano", limit=1)[0].path == path


@pytest.mark.parametrize(("exact_below", "graph_from"), WAYS.values(), ids=WAYS)
def test_threads_share_a_library_and_get_the_answers_of_one(shelf: Shelf, exact_below: int, graph_from: int) -> None:
    fill(shelf, 30, 10)
    asked = queries(24)
    with Library.open(shelf.home, exact_below=exact_below, graph_from=graph_from, warm=True) as library:
        with library.writing():
            pass
        expected = [library.search(query, model="nano", limit=7) for query in asked]
    with (
        Library.open(shelf.home, exact_below=exact_below, graph_from=graph_from, warm=True) as library,
        ThreadPoolExecutor(6) as threads,
    ):
        assert list(threads.map(lambda query: library.search(query, model="nano", limit=7), asked)) == expected


@pytest.mark.parametrize(("exact_below", "graph_from"), WAYS.values(), ids=WAYS)
def test_threads_search_while_one_of_them_writes(shelf: Shelf, exact_below: int, graph_from: int) -> None:
    fill(shelf, 30, 10)
    query = queries(1)[0]
    best = [hit.path for hit in shelf.library.search(query, model="nano", limit=300)]
    leaving = list(dict.fromkeys(best))[:5]
    with (
        Library.open(shelf.home, exact_below=exact_below, graph_from=graph_from, warm=True) as library,
        ThreadPoolExecutor(4) as threads,
    ):
        with library.writing():
            pass
        searches = [threads.submit(library.search, query, model="nano", limit=300) for _ in range(20)]
        for path in leaving:
            library.remove(path)
            searches += [threads.submit(library.search, query, model="nano", limit=300) for _ in range(4)]
        states = [[hit.path for hit in search.result()] for search in searches]
        final = [hit.path for hit in library.search(query, model="nano", limit=300)]
    possible = [[path for path in best if path not in leaving[:gone]] for gone in range(6)]
    assert all(state in possible for state in states)  # each search sees one state of the library, whole
    assert final == possible[5]


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
    with pytest.raises(LibraryError, match=r"nothing is indexed with the model small, only with nano$") as caught:
        shelf.library.search(queries(1)[0], model="small", limit=3)
    assert caught.value.ways == ("vidsearch query --model nano", "vidsearch index FOLDER --model small")
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
