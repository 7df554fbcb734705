"""The file of codes is a cache: whatever happens to it, answers stay right and the next writer renews it."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from store_shelf import DIM, FACTS, SPEC, Shelf, as_file, windows_of

from vidsearch.records import AnyOf, IndexedVideo, Named, Under
from vidsearch.store import code_file
from vidsearch.store.code_file import CodeFile
from vidsearch.store.library import Library
from vidsearch.store.sqlite import coded_search

NAME = "index-1"
VIDEOS, WINDOWS = 30, 10
Answers = list[list[tuple[Path, float, float]]]
Ask = Callable[..., tuple[Answers, bool]]


@pytest.fixture
def coded(tmp_path: Path) -> Iterator[Shelf]:
    """A library that has a file of codes from 100 windows on."""
    root = tmp_path / "videos"
    root.mkdir()
    library = Library.open(tmp_path / "home", exact_below=100)
    shelf = Shelf(root, tmp_path / "home", library)
    with library.writing():
        for number in range(VIDEOS):
            shelf.record(shelf.write(f"{number:03}.mp4", f"video {number}"), count=WINDOWS)
    library.close()
    with Library.open(shelf.home, exact_below=100) as shelf.library:
        yield shelf


@pytest.fixture
def ask(caplog: pytest.LogCaptureFixture) -> Ask:
    """Asks a fresh process, as it were: the answers, and whether codes gave all of them."""

    def asking(shelf: Shelf, **options: object) -> tuple[Answers, bool]:
        caplog.clear()
        queries = np.random.default_rng(8).standard_normal((4, DIM))
        with caplog.at_level(logging.INFO), Library.open(shelf.home, create=False, exact_below=100) as library:
            found = [library.search(query, model="nano", limit=7, **options) for query in queries]  # type: ignore[arg-type]
        taken = [record.args[2] for record in caplog.records if record.msg.startswith("searched")]  # type: ignore[index]
        answers = [[(hit.path, hit.start_s, hit.score) for hit in hits] for hits in found]
        return answers, taken == ["codes"] * 4

    return asking


def exact(ask: Ask, shelf: Shelf) -> Answers:
    return ask(shelf, exact=True)[0]


def truncate(share: float) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flip(place: float) -> Callable[[Path], object]:
    """Another byte at a place of the file, from 0 to 1."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x21
        path.write_bytes(content)

    return spoil


def other_dimension(path: Path) -> None:
    space = code_file.Space.around(np.zeros(16, dtype=np.float32))
    read = lambda first, count: np.ones((count, 16), dtype=np.float32)  # noqa: E731
    code_file.write(path.parent, NAME, model="nano", space=space, new=[(7, 300)], read=read, kept=None)


DAMAGES: dict[str, Callable[[Path], object]] = {
    **{f"truncated to {share}": truncate(share) for share in (0.0, 0.001, 0.3, 0.9999)},
    **{f"a byte flipped at {place}": flip(place) for place in (0.001, 0.05, 0.2, 0.4, 0.6, 0.8, 0.99)},
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "other dimension": other_dimension,
    "missing": Path.unlink,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_changes_no_answer_and_is_renewed(
    coded: Shelf, ask: Ask, damage: Callable[[Path], None]
) -> None:
    right, used = ask(coded)
    assert used
    assert right == exact(ask, coded)
    damage(coded.home / f"{NAME}.codes")
    answers, used = ask(coded)
    assert answers == right
    # A flipped byte between the arrays, which start at multiples of 64, damages nothing.
    assert used or coded.library.check() != []
    with coded.library.writing():
        pass
    assert coded.library.check() == []
    assert ask(coded) == (right, True)


def test_a_commit_changes_no_file_and_a_few_changes_need_none(coded: Shelf, ask: Ask) -> None:
    before = (coded.home / f"{NAME}.codes").read_bytes()
    with coded.library.writing():
        coded.library.remove(coded.root / "003.mp4")
        coded.record(coded.write("new.mp4", "new"), count=WINDOWS)
    assert ask(coded) == (exact(ask, coded), True)
    assert (coded.home / f"{NAME}.codes").read_bytes() == before
    assert coded.library.check() == []


def test_a_filter_acts_before_the_ranking_also_on_what_came_later(coded: Shelf, ask: Ask) -> None:
    with coded.library.writing():
        for number in range(12):
            coded.record(coded.write(f"below/{number}.mp4", f"below {number}"), count=WINDOWS)
    below = (Under(coded.root / "below"),)
    answers, used = ask(coded, filters=below)
    assert used
    assert answers == ask(coded, filters=below, exact=True)[0]
    assert all(path.parent.name == "below" for answer in answers for path, _, _ in answer)
    assert [len(answer) for answer in answers] == [7] * 4
    few = (Under(coded.root / "below" / "3.mp4"),)
    answers, used = ask(coded, filters=few)
    assert not used  # a pass over one video is quicker
    assert {path.name for answer in answers for path, _, _ in answer} == {"3.mp4"}


def test_where_enough_has_changed_codes_are_copied_and_the_rest_is_coded(
    coded: Shelf, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded_search, "LEAST_CHANGED", 15)
    old = CodeFile.load(coded.home, NAME, model="nano", dim=DIM)
    assert old is not None
    with coded.library.writing():
        coded.library.remove(coded.root / "003.mp4")
        coded.record(coded.write("new.mp4", "new"), count=WINDOWS)
    new = CodeFile.load(coded.home, NAME, model="nano", dim=DIM)
    assert new is not None
    np.testing.assert_array_equal(new.firsts[:-1], np.delete(old.firsts, 3))
    np.testing.assert_array_equal(new.codes.windows[:290], np.delete(old.codes.windows, np.arange(30, 40), axis=0))
    np.testing.assert_array_equal(new.space.mean, old.space.mean)
    assert new.is_sound()
    assert ask(coded) == (exact(ask, coded), True)


def test_a_library_that_has_grown_by_half_gets_a_mean_of_its_own(coded: Shelf, ask: Ask) -> None:
    with coded.library.writing():
        for number in range(210):
            coded.record(coded.write(f"later {number}.mp4", f"later {number}"), count=WINDOWS)
    file = CodeFile.load(coded.home, NAME, model="nano", dim=DIM)
    assert file is not None
    assert (file.head.built, file.head.rows) == (2400, 2400)
    assert ask(coded) == (exact(ask, coded), True)


def test_a_file_that_outlived_a_restored_backup_is_not_believed(coded: Shelf, ask: Ask) -> None:
    coded.library.close()
    backup = (coded.home / "library.sqlite3").read_bytes()
    with Library.open(coded.home, exact_below=100) as library:
        coded.library = library
        with library.writing():
            coded.record(coded.write("after.mp4", "after the backup"), count=WINDOWS)
        library.rebuild()
    (coded.home / "library.sqlite3").write_bytes(backup)
    with Library.open(coded.home, exact_below=100) as library:
        coded.library = library
        coded.record(coded.write("other.mp4", "something else, as often changed"), count=WINDOWS)
        assert ask(coded) == (exact(ask, coded), True)


def test_an_open_library_sees_what_another_process_wrote(coded: Shelf) -> None:
    query = np.random.default_rng(3).standard_normal(DIM).astype(np.float32)
    with Library.open(coded.home, exact_below=100) as reader:
        best = reader.search(query, model="nano", limit=1)[0]
        coded.library.remove(best.path)
        assert reader.search(query, model="nano", limit=1)[0].path != best.path
        path = coded.write("new.mp4", "new")
        coded.library.record_indexed(IndexedVideo(as_file(path), "f", FACTS, windows_of(1), query[None], "nano", SPEC))
        assert reader.search(query, model="nano", limit=1)[0].path == path
        coded.library.rebuild()  # the file that the reader has open is replaced
        assert reader.search(query, model="nano", limit=1)[0].path == path


def test_a_filter_in_an_open_library_sees_what_another_process_wrote(coded: Shelf) -> None:
    query = np.random.default_rng(3).standard_normal(DIM).astype(np.float32)
    even = (AnyOf(tuple(Named(f"*{digit}.mp4") for digit in (0, 2, 4, 6, 8))),)
    with Library.open(coded.home, exact_below=100) as reader:

        def best() -> str:
            found, right = (
                reader.search(query, model="nano", limit=30, filters=even, exact=exact) for exact in (False, True)
            )
            assert [(hit.path, hit.start_s) for hit in found] == [(hit.path, hit.start_s) for hit in right]
            return found[0].path.name

        first = best()
        coded.library.remove(coded.root / first)
        assert best() != first
        for name in ("new 1.mp4", "new 2.mp4"):
            file = as_file(coded.write(name, name))
            coded.library.record_indexed(IndexedVideo(file, name, FACTS, windows_of(1), query[None], "nano", SPEC))
        assert best() == "new 2.mp4"
        coded.library.rebuild()  # the file that the reader has open is replaced
        assert best() == "new 2.mp4"


def test_windows_of_a_video_that_is_not_there_are_left_out(coded: Shelf, ask: Ask) -> None:
    coded.library.close()
    import sqlite3

    with sqlite3.connect(coded.home / "library.sqlite3") as connection:
        connection.execute("UPDATE embeddings SET video_id = 'none' WHERE id = 1")
    connection.close()
    below = (Under(coded.root),)
    assert ask(coded, filters=below) == (exact(ask, coded), True)
    query = np.random.default_rng(3).standard_normal(DIM).astype(np.float32)
    with Library.open(coded.home, exact_below=100) as library:
        every, right = (library.search(query, model="nano", limit=400, exact=exact) for exact in (False, True))
    assert every == right
    assert len(every) == (VIDEOS - 1) * WINDOWS


def test_an_open_library_counts_its_windows_again_after_a_change(
    coded: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    query = np.random.default_rng(3).standard_normal(DIM).astype(np.float32)
    routes = []
    with Library.open(coded.home, exact_below=VIDEOS * WINDOWS + 1) as reader, caplog.at_level(logging.INFO):
        for name in ("first.mp4", "second.mp4"):
            reader.search(query, model="nano", limit=1)
            routes.append(caplog.records[-1].args[2])  # type: ignore[index]
            coded.record(coded.write(name, name), count=WINDOWS)
    assert routes == ["matrix", "codes"]


def test_vectors_damaged_after_they_were_coded_are_left_out_and_named(
    coded: Shelf, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = ask(coded)[0][0][0][0]
    coded.library.close()
    import sqlite3

    with sqlite3.connect(coded.home / "library.sqlite3") as connection:
        connection.execute(
            "UPDATE embeddings SET vectors = zeroblob(length(vectors)) WHERE video_id = "
            "(SELECT id FROM videos WHERE path = ?)",
            (str(damaged),),
        )
    connection.close()
    answers, used = ask(coded)
    assert used
    assert f"{damaged} not searched: the vectors are damaged" in caplog.text
    assert damaged not in {path for answer in answers for path, _, _ in answer}
    with Library.open(coded.home, exact_below=100) as library:
        library.rebuild()  # coded without the damaged video
    assert ask(coded) == (answers, True)


def test_a_full_disk_leaves_searches_exact(
    coded: Shelf, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = exact(ask, coded)
    (coded.home / f"{NAME}.codes").unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(code_file, "_write_at", full)
    with coded.library.writing():
        pass
    assert "the search index could not be saved, searches stay exact" in caplog.text
    assert [path.name for path in coded.home.iterdir() if path.suffix == ".tmp"] == []
    assert ask(coded) == (right, False)


def test_a_library_that_shrinks_keeps_no_file(coded: Shelf) -> None:
    with coded.library.writing():
        for number in range(25):
            coded.library.remove(coded.root / f"{number:03}.mp4")
    assert list(coded.home.glob("index-*")) == []
    assert coded.library.info().index_bytes == 0
