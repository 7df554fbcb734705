"""The index file is a cache: whatever happens to it, answers stay right and the next writer repairs it."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from store_shelf import DIM, Shelf

from vidsearch.store.library import Library
from vidsearch.store.vector_index import IdRange, VectorIndex

pytestmark = pytest.mark.needs_hnswlib
NAME = "index-1"

Answers = list[list[tuple[Path, float, float]]]
Ask = Callable[[Shelf], tuple[Answers, bool]]


def clustered(count: int, dim: int, *, windows: int = 100, seed: int = 0) -> NDArray[np.float32]:
    """Each video is a random walk around its own direction, as neighbouring windows are."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((-(-count // windows), dim)), windows, axis=0)[:count]
    steps = rng.standard_normal((count, dim)).reshape(-1, windows, dim).cumsum(axis=1).reshape(count, dim)
    walk = centres / np.linalg.norm(centres, axis=1, keepdims=True) + 0.1 * steps / np.sqrt(dim)
    unit = walk / np.linalg.norm(walk, axis=1, keepdims=True)
    return np.asarray(unit.astype(np.float16), dtype=np.float32)  # as they come out of the database


def build(vectors: NDArray[np.float32], runs: list[IdRange]) -> VectorIndex:
    return VectorIndex.build(vectors.shape[1], runs, lambda run: vectors[run.first : run.first + run.count])


def ranges_of(count: int, windows: int = 100) -> list[IdRange]:
    return [IdRange(first, windows) for first in range(0, count, windows)]


def recall(
    index: VectorIndex, vectors: NDArray[np.float32], alive: NDArray[np.bool_], queries: NDArray[np.float32]
) -> float:
    shares = []
    for query in queries:
        scores = np.where(alive, vectors @ query, -np.inf)
        right = set(np.argsort(-scores)[:10].tolist())
        found = index.search(query, 10)
        assert found is not None
        shares.append(len(right & set(found[0].tolist())) / 10)
    return float(np.mean(shares))


def test_recall_on_clustered_vectors() -> None:
    vectors = clustered(5000, 64)
    index = build(vectors, ranges_of(5000))
    rng = np.random.default_rng(1)
    near = vectors[rng.integers(0, 5000, 30)] + 0.3 * rng.standard_normal((30, 64)).astype(np.float32) / 8
    far = rng.standard_normal((30, 64)).astype(np.float32)
    assert recall(index, vectors, np.ones(5000, dtype=bool), np.concatenate([near, far])) >= 0.99


def test_recall_holds_after_videos_came_and_left() -> None:
    vectors = clustered(3000, 64)
    runs = ranges_of(3000)
    index = build(vectors, runs[:20])
    kept = runs[4:]  # four of twenty left, ten came
    assert index.catch_up(kept, lambda run: vectors[run.first : run.first + run.count])
    assert (index.count, index.id_ranges) == (2600, tuple(kept))
    alive = np.arange(3000) >= 400
    queries = np.random.default_rng(2).standard_normal((30, 64)).astype(np.float32)
    assert recall(index, vectors, alive, queries) >= 0.99


def test_too_many_deleted_windows_ask_for_a_new_graph() -> None:
    vectors = clustered(1000, 16)
    index = build(vectors, ranges_of(1000))
    assert not index.catch_up(ranges_of(1000)[:6], lambda run: vectors[run.first : run.first + run.count])
    assert index.count == 1000  # untouched


def test_an_index_that_has_grown_by_half_asks_for_a_new_graph() -> None:
    vectors = clustered(1600, 16)
    index = build(vectors, ranges_of(1000))
    assert index.catch_up(ranges_of(1500), lambda run: vectors[run.first : run.first + run.count])
    assert not index.catch_up(ranges_of(1600), lambda run: vectors[run.first : run.first + run.count])
    assert index.count == 1500


def test_a_search_gives_the_stored_vectors_and_never_more_than_there_are() -> None:
    vectors = clustered(100, 16)
    index = build(vectors, ranges_of(100))
    found = index.search(vectors[3], 500)
    assert found is not None
    labels, rows = found
    assert sorted(labels.tolist()) == list(range(100))
    np.testing.assert_array_equal(rows, vectors[labels])
    assert labels[0] == 3


def test_an_empty_index_finds_nothing() -> None:
    index = build(np.empty((0, 16), dtype=np.float32), [])
    found = index.search(np.ones(16, dtype=np.float32), 5)
    assert found is not None
    assert len(found[0]) == 0


def test_the_same_vectors_give_the_same_file(tmp_path: Path) -> None:
    vectors = clustered(600, 32)
    for name in ("one", "two"):
        build(vectors, ranges_of(600)).save(tmp_path, name, "nano")
    assert (tmp_path / "one.hnsw").read_bytes() == (tmp_path / "two.hnsw").read_bytes()


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    vectors = clustered(600, 32)
    index = build(vectors, ranges_of(600))
    index.save(tmp_path, NAME, "nano")
    again = VectorIndex.load(tmp_path, NAME, model="nano", dim=32)
    assert again is not None
    assert again.id_ranges == index.id_ranges
    query = np.random.default_rng(3).standard_normal(32).astype(np.float32)
    one, two = index.search(query, 20), again.search(query, 20)
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one[0], two[0])
    assert VectorIndex.load(tmp_path, NAME, model="nano", dim=16) is None
    assert VectorIndex.load(tmp_path, NAME, model="small", dim=32) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index-1.hnsw", "index-1.hnsw.json"]


def test_a_graph_replaced_after_the_manifest_was_read_is_not_taken(tmp_path: Path) -> None:
    build(clustered(200, 32), ranges_of(200)).save(tmp_path, NAME, "nano")
    build(clustered(200, 32, seed=9), ranges_of(200)).save(tmp_path, "other", "nano")
    (tmp_path / "other.hnsw").replace(tmp_path / f"{NAME}.hnsw")  # what a writer killed between its two files leaves
    assert VectorIndex.load(tmp_path, NAME, model="nano", dim=32) is None


# -- in a library ----------------------------------------------------------------------------------------------------


@pytest.fixture
def indexed(indexing_shelf: Shelf) -> Shelf:
    with indexing_shelf.library.writing():
        for number in range(20):
            indexing_shelf.record(indexing_shelf.write(f"{number:03}.mp4", f"video {number}"), count=10)
    assert indexing_shelf.library.check() == []
    return indexing_shelf


@pytest.fixture
def ask(caplog: pytest.LogCaptureFixture) -> Ask:
    """Some answers of a freshly opened library, and whether its index was used."""

    def asked(shelf: Shelf) -> tuple[Answers, bool]:
        caplog.clear()
        with (
            caplog.at_level(logging.INFO),
            Library.open(shelf.home, exact_below=100, graph_from=100, warm=True) as library,
        ):
            queries = np.random.default_rng(5).standard_normal((6, DIM))
            answers = [library.search(query, model="nano", limit=8) for query in queries]
        (route,) = {record.args[2] for record in caplog.records if record.msg.startswith("searched")}  # type: ignore[index]
        return [[(hit.path, hit.start_s, hit.score) for hit in answer] for answer in answers], route == "index"

    return asked


def truncate(share: float) -> Callable[[Path], None]:
    def damage(graph: Path) -> None:
        content = graph.read_bytes()
        graph.write_bytes(content[: int(len(content) * share)])

    return damage


def flip(seed: int) -> Callable[[Path], None]:
    def damage(graph: Path) -> None:
        content = bytearray(graph.read_bytes())
        for place in np.random.default_rng(seed).integers(0, len(content), 3):
            content[place] ^= 0x55
        graph.write_bytes(content)

    return damage


def garbage(graph: Path) -> None:
    graph.write_bytes(np.random.default_rng(0).bytes(graph.stat().st_size))


def other_dimension(graph: Path) -> None:
    """A sound file of another dimension, which hnswlib would take without a word, with a manifest to match."""
    import hnswlib  # late: this file is also read where it is not installed

    other = hnswlib.Index(space="ip", dim=16)
    other.init_index(max_elements=200, random_seed=1)
    other.add_items(np.random.default_rng(0).standard_normal((200, 16)))
    other.save_index(str(graph))
    manifest = graph.with_name(graph.name + ".json")
    body = json.loads(manifest.read_bytes().splitlines()[0])
    content = graph.read_bytes()
    body |= {"dim": 16, "size_bytes": len(content), "crc32": zlib.crc32(content)}
    encoded = json.dumps(body, sort_keys=True).encode()
    manifest.write_bytes(encoded + b"\n%08x\n" % zlib.crc32(encoded))


def no_manifest(graph: Path) -> None:
    graph.with_name(graph.name + ".json").unlink()


def torn_manifest(graph: Path) -> None:
    truncate(0.5)(graph.with_name(graph.name + ".json"))


def flipped_manifest(graph: Path) -> None:
    flip(1)(graph.with_name(graph.name + ".json"))


def later_format(graph: Path) -> None:
    manifest = graph.with_name(graph.name + ".json")
    encoded = json.dumps(json.loads(manifest.read_bytes().splitlines()[0]) | {"format": 2, "more": 1}).encode()
    manifest.write_bytes(encoded + b"\n%08x\n" % zlib.crc32(encoded))


DAMAGES = {
    **{f"truncated to {share}": truncate(share) for share in (0.0, 0.001, 0.3, 0.7, 0.9999)},
    **{f"bytes flipped ({seed})": flip(seed) for seed in range(8)},
    "garbage": garbage,
    "other dimension": other_dimension,
    "missing": Path.unlink,
    "manifest missing": no_manifest,
    "manifest torn": torn_manifest,
    "manifest flipped": flipped_manifest,
    "manifest of a later format": later_format,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_changes_no_answer_and_is_repaired(
    indexed: Shelf, ask: Ask, damage: Callable[[Path], None]
) -> None:
    right, used = ask(indexed)
    assert used
    damage(indexed.home / f"{NAME}.hnsw")
    assert ask(indexed) == (right, False)
    assert len(indexed.library.check()) == 1
    with indexed.library.writing():
        pass
    assert indexed.library.check() == []
    assert ask(indexed) == (right, True)


@pytest.mark.parametrize("suffix", [".hnsw", ".hnsw.json", ".codes"])
def test_a_folder_in_the_place_of_an_index_file_is_named_and_changes_no_answer(
    indexed: Shelf, ask: Ask, suffix: str
) -> None:
    right, _ = ask(indexed)
    place = indexed.home / f"{NAME}{suffix}"
    place.unlink()
    (place / "of somebody").mkdir(parents=True)
    with indexed.library.writing():
        pass
    assert ask(indexed)[0] == right
    (problem,) = indexed.library.check()
    assert f"{place} is a folder; move it away, and the next index run makes the file" in problem
    place.rename(indexed.home / "moved away")
    with indexed.library.writing():
        pass
    assert indexed.library.check() == []


def test_an_index_of_an_older_state_is_brought_up(indexed: Shelf, ask: Ask) -> None:
    files = {path: path.read_bytes() for path in indexed.home.glob("index-*")}
    indexed.library.remove(indexed.root / "003.mp4")
    indexed.record(indexed.write("new.mp4", "new"), count=10)
    right, used = ask(indexed)
    assert used  # caught up in memory
    assert {path: path.read_bytes() for path in files} == files  # and left alone on disk
    assert len(indexed.library.check()) == 1
    with indexed.library.writing():
        pass
    assert indexed.library.check() == []
    assert ask(indexed) == (right, True)


def test_an_index_that_outlived_a_restored_backup_is_not_believed(indexed: Shelf, ask: Ask) -> None:
    indexed.library.close()
    backup = (indexed.home / "library.sqlite3").read_bytes()
    with Library.open(indexed.home, exact_below=100, graph_from=100) as library:
        indexed.library = library
        with library.writing():
            indexed.record(indexed.write("after.mp4", "after the backup"), count=10)
    (indexed.home / "library.sqlite3").write_bytes(backup)
    with Library.open(indexed.home, exact_below=100, graph_from=100) as library:
        indexed.library = library
        indexed.record(indexed.write("other.mp4", "something else, as often changed"), count=10)
    right, used = ask(indexed)
    assert used
    for file in indexed.home.glob("index-*"):
        file.unlink()
    assert ask(indexed) == (right, False)


def test_a_library_that_shrinks_keeps_no_index_file(indexed: Shelf) -> None:
    with indexed.library.writing():
        for number in range(15):
            indexed.library.remove(indexed.root / f"{number:03}.mp4")
    assert list(indexed.home.glob("index-*")) == []
    assert indexed.library.info().index_bytes == 0


def test_leftovers_of_a_killed_save_are_cleared(indexed: Shelf) -> None:
    leftover = indexed.home / f".{NAME}.hnsw.abc.tmp"
    leftover.write_bytes(b"half a graph")
    with indexed.library.writing():
        pass
    assert not leftover.exists()


def test_a_library_in_a_folder_whose_name_is_not_text_searches_exactly(tmp_path: Path) -> None:
    home = tmp_path / os.fsdecode(b"\xff home")
    with Library.open(home, exact_below=10, graph_from=10) as library:
        shelf = Shelf(tmp_path, home, library)
        with library.writing():
            for number in range(4):
                shelf.record(shelf.write(f"{number}.mp4", str(number)), count=10)
        assert [len(library.search(np.ones(DIM), model="nano", limit=9)) for _ in range(2)] == [9, 9]
        assert library.check() == []
