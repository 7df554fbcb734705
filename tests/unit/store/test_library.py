"""What a library keeps and gives back."""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_shelf import DIM, FACTS, SPEC, Shelf, as_file, fingerprint, vectors_of, windows_of

from vidsearch.errors import LibraryError, VideoError
from vidsearch.records import Hit, IndexedVideo, Runtime, Under, VideoFacts, VideoRow, WindowSpec
from vidsearch.store.interface import ModelInfo, RootInfo, RuntimeInfo
from vidsearch.store.library import Library
from vidsearch.store.sqlite import database
from vidsearch.store.sqlite.migrations import SCHEMA_VERSION

ODD_NAMES = [
    "plain.mp4",
    "with space.mp4",
    "two\nlines.mp4",
    "-rf.mp4",
    "[red]markup[/].mp4",
    "100%_'\"?#.mp4",
    "日本語.mp4",
    os.fsdecode(b"not \xff utf-8.mp4"),
    unicodedata.normalize("NFC", "café.mp4"),
    unicodedata.normalize("NFD", "café.mp4"),
]


def test_every_name_comes_back_byte_for_byte(shelf: Shelf) -> None:
    for number, name in enumerate(ODD_NAMES):
        shelf.write(name, str(number) * (number + 1))
    shelf.index()
    expected = sorted(os.fsencode(shelf.root / name) for name in ODD_NAMES)
    assert [os.fsencode(path) for path in shelf.paths()] == expected
    hits = shelf.library.search(np.ones(DIM), model="nano", limit=100)
    assert {os.fsencode(hit.path) for hit in hits} == set(expected)
    for name in ODD_NAMES:
        path = shelf.root / name
        assert {
            hit.path for hit in shelf.library.search(np.ones(DIM), model="nano", limit=9, filters=(Under(path),))
        } == {path}
    assert len(shelf.plan().unchanged) == len(ODD_NAMES)


def test_under_takes_a_folder_and_not_its_namesakes(shelf: Shelf) -> None:
    folder = os.fsdecode(b"b\xfc")
    inside = {shelf.write(f"{folder}/{name}", name) for name in ("x.mp4", "deep/y.mp4", "日.mp4")}
    shelf.write(f"{folder}2/z.mp4", "z")
    shelf.write(f"{folder}.mp4", "zz")
    shelf.write("b/x.mp4", "zzz")
    shelf.index()
    assert {row.path for row in shelf.library.videos(under=shelf.root / folder)} == inside
    assert len(shelf.library.videos(under=shelf.root / "b")) == 1
    assert len(shelf.library.videos(under=Path("/"))) == 6
    with_odd_name = shelf.write(f"c/{folder}.mp4", "a name that is no text below a folder that is")
    shelf.index()
    assert [row.path for row in shelf.library.videos(under=shelf.root / "c")] == [with_odd_name]


def test_an_indexed_video_is_listed_with_its_facts(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    damaged = VideoFacts(0.0, 9.0, 25.0, 225, 64, 48, "mpeg4", "avi", 0, "decord", damage="the end is missing")
    shelf.library.record_indexed(
        IndexedVideo(as_file(path), "f", damaged, windows_of(2), vectors_of(path, 2), "nano", SPEC)
    )
    assert shelf.library.videos() == [VideoRow(path, "indexed", None, "the end is missing", 9.0, 2, "decord", "nano")]


def test_a_failed_video_is_listed_with_its_reason(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.library.record_failed(as_file(path), VideoError("truncated", "a.mp4 ends early"), fingerprint="f")
    assert shelf.library.videos() == [VideoRow(path, "failed", "truncated", "a.mp4 ends early", None, 0, None, None)]
    shelf.record(path)
    assert [row.state for row in shelf.library.videos()] == ["indexed"]


def test_a_changed_video_that_fails_loses_the_vectors_of_its_old_content(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a", mtime_s=1000)
    shelf.record(path)
    shelf.record(path, model="small")
    shelf.write("a.mp4", "b", mtime_s=2000)
    shelf.library.record_failed(as_file(path), VideoError("corrupt", "broken"), fingerprint=fingerprint(path))
    assert [(row.state, row.windows) for row in shelf.library.videos()] == [("failed", 0)]
    assert shelf.library.search(np.ones(DIM), model="nano", limit=9) == []


@pytest.mark.parametrize("readable", [True, False], ids=["same content", "out of reach"])
def test_an_unchanged_video_that_fails_keeps_what_other_models_know(shelf: Shelf, readable: bool) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.record(path)
    known = fingerprint(path) if readable else None
    shelf.library.record_failed(as_file(path), VideoError("timeout", "too slow"), fingerprint=known)
    rows = shelf.library.videos()
    assert [(row.state, row.model, row.windows, row.duration_s) for row in rows] == [
        ("failed", None, 0, FACTS.duration_s),
        ("indexed", "nano", 3, FACTS.duration_s),
    ]
    assert len(shelf.plan().unchanged) == 1
    assert len(shelf.plan(model="small").failed_before) == 1


def test_content_indexed_anew_with_one_model_is_not_found_by_the_vectors_of_another(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a", mtime_s=1000)
    shelf.record(path)
    shelf.record(path, model="small")
    shelf.write("a.mp4", "b", mtime_s=2000)
    shelf.record(path, model="small")
    assert [row.model for row in shelf.library.videos()] == ["small"]


def test_what_cannot_be_a_vector_is_refused_and_nothing_is_written(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    for vectors in (np.zeros((3, DIM)), np.full((3, DIM), np.nan), np.ones((2, DIM)), np.ones(DIM)):
        with pytest.raises(ValueError, match=r"vector|windows"):
            shelf.library.record_indexed(IndexedVideo(as_file(path), "f", FACTS, windows_of(3), vectors, "nano", SPEC))
    assert shelf.library.videos() == []


def test_vectors_of_another_length_do_not_join_a_model(shelf: Shelf) -> None:
    one, two = shelf.write("one.mp4", "1"), shelf.write("two.mp4", "2")
    shelf.record(one)
    longer = vectors_of(two, 3, DIM * 2)
    with pytest.raises(LibraryError, match="vectors of 32 values for the model nano, these have 64"):
        shelf.library.record_indexed(IndexedVideo(as_file(two), "f", FACTS, windows_of(3), longer, "nano", SPEC))
    assert shelf.paths() == [one]  # the transaction went back whole
    shelf.library.remove(one)
    shelf.library.record_indexed(IndexedVideo(as_file(two), "f", FACTS, windows_of(3), longer, "nano", SPEC))
    assert shelf.library.info().models[0].dim == DIM * 2


def test_removing_forgets_videos_and_roots_and_touches_no_file(shelf: Shelf) -> None:
    one, two = shelf.write("one/1.mp4", "1"), shelf.write("two/2.mp4", "2")
    shelf.index()
    assert shelf.library.remove(shelf.root / "one") == 1
    assert shelf.library.remove(shelf.root / "nothing") == 0
    assert shelf.paths() == [two]
    assert shelf.library.roots() == [shelf.root]
    assert shelf.library.remove(shelf.root) == 1
    assert shelf.library.roots() == []
    assert one.exists()
    assert two.exists()
    assert shelf.library.search(np.ones(DIM), model="nano", limit=9) == []


def test_a_file_below_a_root_is_no_root_of_its_own(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.library.add_root(shelf.root)
    shelf.library.add_root(path)
    shelf.library.add_root(shelf.root)
    assert shelf.library.roots() == [shelf.root]
    with pytest.raises(LibraryError, match="cannot add"):
        shelf.library.add_root(shelf.root / "nowhere")


def test_info_counts_what_there_is(shelf: Shelf) -> None:
    shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "b")
    shelf.index()
    bad = shelf.write("bad.mp4", "bad")
    shelf.library.record_failed(as_file(bad), VideoError("corrupt", "broken"), fingerprint=None)
    shelf.record(shelf.root / "a.mp4", model="small", spec=WindowSpec(4.0, 2.0, 4), count=5)
    info = shelf.library.info()
    assert (info.folder, info.schema, info.roots) == (
        shelf.home,
        SCHEMA_VERSION,
        (RootInfo(shelf.root, offline=False),),
    )
    assert info.models == (
        ModelInfo("nano", DIM, 2, 6, (SPEC,), (RuntimeInfo(None, 2),)),
        ModelInfo("small", DIM, 1, 5, (WindowSpec(4.0, 2.0, 4),), (RuntimeInfo(None, 1),)),
    )
    assert (info.indexed, info.failed, info.offline) == (2, 1, 0)
    assert info.duration_s == 2 * FACTS.duration_s
    assert info.database_bytes > 0
    assert info.index_bytes == 0


def test_info_says_which_runtimes_made_the_vectors(shelf: Shelf) -> None:
    torch, onnx = Runtime("torch", "bfloat16"), Runtime("onnx", "float32")
    both = frozenset({torch, onnx})
    for name, runtimes in (("a", {torch}), ("b", {torch}), ("c", both), ("d", ())):
        video = shelf.indexed(shelf.write(f"{name}.mp4", name))
        shelf.library.record_indexed(replace(video, runtimes=frozenset(runtimes)))
    [model] = shelf.library.info().models
    assert model.videos == 4
    assert model.runtimes == (RuntimeInfo(torch, 3), RuntimeInfo(onnx, 1), RuntimeInfo(None, 1))

    shelf.library.remove(shelf.root / "c.mp4")
    shelf.record(shelf.root / "a.mp4")  # indexed again, with nothing known of what did it
    [model] = shelf.library.info().models
    assert model.runtimes == (RuntimeInfo(torch, 1), RuntimeInfo(None, 2))


def test_a_copy_has_the_runtimes_of_its_source(shelf: Shelf) -> None:
    torch, onnx = Runtime("torch", "bfloat16"), Runtime("onnx", "float32")
    with shelf.library.writing():
        shelf.library.add_root(shelf.root)
        path = shelf.write("a.mp4", "a")
        shelf.library.record_indexed(replace(shelf.indexed(path), runtimes=frozenset({torch, onnx})))
    shelf.write("b.mp4", "a")
    assert len(shelf.index().copied) == 1
    assert shelf.library.info().models[0].runtimes == (RuntimeInfo(onnx, 2), RuntimeInfo(torch, 2))


def test_the_hits_of_the_last_query_are_kept(shelf: Shelf) -> None:
    assert shelf.library.last_hits() == ("", [])
    odd = shelf.root / os.fsdecode(b"\xff.mp4")
    hits = [Hit(1, odd, 0.5, 8.5, 4.5, 0.25, "nano"), Hit(2, shelf.root / "b.mp4", 4.0, 16.0, 8.0, 0.125, "nano", True)]
    assert shelf.library.save_hits("a red ball", hits)
    with Library.open(shelf.home, create=False) as again:
        assert again.last_hits() == ("a red ball", hits)
    assert shelf.library.save_hits("nothing", [])
    assert shelf.library.last_hits() == ("nothing", [])


def test_hits_that_could_not_be_kept_are_not_taken_for_those_of_an_older_query(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    hits = [Hit(1, shelf.root / "b.mp4", 4.0, 16.0, 8.0, 0.125, "nano", True)]
    with Library.open(shelf.home) as library, closing(sqlite3.connect(shelf.home / "library.sqlite3")) as busy:
        assert library.save_hits("a red ball", hits)
        busy.execute("BEGIN IMMEDIATE")
        assert not library.save_hits("a blue ball", [])
        busy.execute("ROLLBACK")
        with pytest.raises(LibraryError, match="the hits of the last query could not be kept: query again"):
            library.last_hits()
        assert library.save_hits("a red ball", hits)
        assert library.last_hits() == ("a red ball", hits)


def test_vectors_are_stored_as_little_endian_float16_of_unit_length(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    shelf.record(path)
    connection = sqlite3.connect(shelf.home / "library.sqlite3")
    blob = connection.execute("SELECT vectors FROM embeddings").fetchone()[0]
    connection.close()
    stored = np.frombuffer(blob, dtype="<f2").reshape(3, DIM).astype(np.float64)
    given = vectors_of(path, 3).astype(np.float64)
    given /= np.linalg.norm(given, axis=1, keepdims=True)
    np.testing.assert_allclose(stored, given, atol=2**-12)  # values below 1 lose at most half of 2^-11


def test_check_finds_what_was_tampered_with(shelf: Shelf) -> None:
    import sqlite3

    shelf.write("a.mp4", "a")
    shelf.write("b.mp4", "b")
    shelf.write("c.mp4", "c")
    shelf.index()
    assert shelf.library.check() == []
    connection = sqlite3.connect(shelf.home / "library.sqlite3")
    connection.execute("UPDATE embeddings SET vectors = substr(vectors, 1, 10) WHERE id = 1")
    connection.execute("DELETE FROM windows WHERE embedding_id = 2 AND ordinal = 1")
    connection.execute("UPDATE embeddings SET vectors = zeroblob(length(vectors)) WHERE id = 3")
    connection.execute("INSERT INTO windows VALUES (99, 0, 0, 1)")
    connection.commit()
    connection.close()
    problems = shelf.library.check()
    advice = "vidsearch index makes them again"
    assert [problem for problem in problems if problem.startswith(str(shelf.root))] == [
        f"{shelf.root / 'a.mp4'}: the vectors are damaged (nano): {advice}",
        f"{shelf.root / 'b.mp4'}: the times of its windows are damaged (nano): {advice}",
        f"{shelf.root / 'c.mp4'}: the vectors are damaged (nano): {advice}",
    ]
    assert "\n".join(problems).count("missing row of embeddings") == 1


def test_rebuild_gives_room_back(shelf: Shelf) -> None:
    path = shelf.write("a.mp4", "a")
    for number in range(20):
        shelf.record(shelf.write(f"{number}.mp4", "x" * number), count=900)
    shelf.record(path)
    shelf.library.close()

    def size() -> int:
        return (shelf.home / "library.sqlite3").stat().st_size

    before = size()
    with Library.open(shelf.home) as library:
        for number in range(20):
            library.remove(shelf.root / f"{number}.mp4")
        library.rebuild()
    with Library.open(shelf.home) as library:
        assert [row.path for row in library.videos()] == [path]
    assert size() < before / 5
