"""Whatever became of a library on disk: it works, or one sentence says what is wrong; the next index run mends it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import library_states
import numpy as np
import pytest
from _pytest.mark.structures import ParameterSet
from library_states import DIM, MENDED, MODEL, REBUILT, REFUSED, VIDEOS, WINDOWS, Spoil, of_the_graph

from vidsearch.cli.app import run
from vidsearch.errors import LibraryError
from vidsearch.store.library import Library
from vidsearch.store.vectors import BYTES_PER_VALUE, checksum, is_whole

QUERY = np.random.default_rng(9).standard_normal(DIM)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    library_states.make_library(folder / "home", folder / "videos")
    return folder


@pytest.fixture
def home(sound: Path, own_home: Path) -> Path:
    """A copy of the sound library where the program looks for one; the videos stay where they are."""
    shutil.copytree(sound / "home", own_home)
    return own_home


ALL = MENDED | REBUILT | REFUSED


def spoils(states: Mapping[str, Spoil]) -> list[ParameterSet]:
    """A parameter of a test for each state, under its name."""
    return [pytest.param(spoil, id=name, marks=marks_of(name)) for name, spoil in states.items()]


def marks_of(state: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.needs_hnswlib] if of_the_graph(state) else []


ACTIONS: dict[str, Callable[[Library, Path], object]] = {
    "search": lambda library, folder: [library.search(QUERY, model=MODEL, limit=200) for _ in range(2)],
    "videos": lambda library, folder: library.videos(),
    "info": lambda library, folder: library.info(),
    "check": lambda library, folder: library.check(),
    "last hits": lambda library, folder: library.last_hits(),
    "save hits": lambda library, folder: library.save_hits("x", []),
    "index": library_states.index,
    "rebuild": lambda library, folder: library.rebuild(),
    "remove": lambda library, folder: library.remove(folder),
}


@pytest.mark.parametrize("spoil", spoils(ALL))
def test_every_action_works_or_says_what_is_wrong(home: Path, sound: Path, spoil: Spoil) -> None:
    spoil(home)
    with ExitStack() as stack:
        try:
            library = stack.enter_context(Library.open(home, exact_below=100, graph_from=100, create=False))
        except LibraryError as error:
            assert str(home) in str(error)
            return
        for action in ACTIONS.values():
            try:
                action(library, sound / "videos")
            except LibraryError as error:
                assert str(home) in str(error)


@pytest.mark.parametrize("spoil", spoils(MENDED))
def test_the_next_index_run_mends_it(home: Path, sound: Path, spoil: Spoil) -> None:
    with Library.open(home, exact_below=100, graph_from=100) as library:
        right = library.search(QUERY, model=MODEL, limit=200)
    spoil(home)
    with Library.open(home, exact_below=100, graph_from=100) as library:
        library_states.index(library, sound / "videos")
    with Library.open(home, exact_below=100, graph_from=100, warm=True) as library:
        assert library.check() == []
        answers = [library.search(QUERY, model=MODEL, limit=200) for _ in range(2)]
    assert [[(hit.path, hit.start_s, hit.score) for hit in answer] for answer in answers] == [
        [(hit.path, hit.start_s, hit.score) for hit in right]
    ] * 2
    assert len(right) == VIDEOS * WINDOWS
    precious = home.parent / "precious"
    assert not precious.exists() or precious.read_text() == "not ours"


@pytest.mark.parametrize("spoil", spoils(REBUILT))
def test_rows_that_cannot_be_read_are_named_and_a_rebuild_drops_them(home: Path, sound: Path, spoil: Spoil) -> None:
    spoil(home)
    with Library.open(home, exact_below=100, graph_from=100) as library:
        assert library.check() != []
        library.rebuild()
        library_states.index(library, sound / "videos")
        assert library.check() == []
        assert {row.path.name for row in library.videos()} >= {"0.mp4", "1.mp4", "2.mp4"}
        assert len(library.search(QUERY, model=MODEL, limit=200)) == VIDEOS * WINDOWS


@pytest.mark.parametrize("name", [name for name in MENDED if name.startswith(("vectors", "checksum"))])
def test_damaged_vectors_are_left_out_of_the_answer_and_named(
    home: Path, sound: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    MENDED[name](home)
    damaged = sound / "videos" / "0.mp4"
    with Library.open(home, exact_below=1000) as library:
        hits = library.search(QUERY, model=MODEL, limit=200)
        assert damaged not in {hit.path for hit in hits}
        assert all(-1.001 < hit.score < 1.001 for hit in hits)
        assert f"{damaged}" in caplog.text
        assert "vidsearch index makes them again" in caplog.text
        assert any(problem.startswith(f"{damaged}: the vectors are damaged") for problem in library.check())


@pytest.mark.needs_hnswlib
def test_an_index_file_answers_for_vectors_that_were_damaged_after_it_was_made(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Library.open(home, exact_below=100, graph_from=100) as library:
        right = library.search(QUERY, model=MODEL, limit=10)
    MENDED["vectors: a bit flipped"](home)
    with Library.open(home, exact_below=100, graph_from=100, warm=True) as library:
        assert library.search(QUERY, model=MODEL, limit=10) == right


@pytest.mark.needs_hnswlib
def test_no_index_file_is_made_of_damaged_vectors(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    MENDED["vectors: NaN"](home)
    with Library.open(home, exact_below=100, graph_from=100) as library:
        library.rebuild()
        assert "searches stay exact: the library has damaged vectors" in caplog.text
        library.search(QUERY, model=MODEL, limit=10)
        assert all(np.isfinite(hit.score) for hit in library.search(QUERY, model=MODEL, limit=10))


def test_a_copy_of_a_damaged_video_is_indexed_by_the_next_run(home: Path, sound: Path, tmp_path: Path) -> None:
    MENDED["vectors: NaN"](home)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy2(sound / "videos" / "0.mp4", elsewhere / "0.mp4")
    with Library.open(home) as library:
        for _ in range(2):
            library_states.index(library, elsewhere)
        problems = library.check()
    assert [problem for problem in problems if str(elsewhere) in problem] == []


def test_rows_that_belong_to_nothing_leave_with_a_rebuild(home: Path) -> None:
    library_states.sql("INSERT INTO windows VALUES (99, 0, 0.0, 1.0)", "DELETE FROM videos WHERE id = 1")(home)
    with Library.open(home) as library:
        assert any("refers to a missing row" in problem for problem in library.check())
        library.rebuild()
        assert library.check() == []
        assert len(library.search(QUERY, model=MODEL, limit=200)) == (VIDEOS - 1) * WINDOWS


def test_a_library_that_is_deleted_while_it_is_written_is_noticed(home: Path, sound: Path) -> None:
    with (
        pytest.raises(LibraryError, match="was deleted or replaced while it was open"),
        Library.open(home) as library,
        library.writing(),
    ):
        shutil.rmtree(home)


def test_a_change_to_a_library_that_was_replaced_is_refused(home: Path, sound: Path) -> None:
    with Library.open(home) as library:
        shutil.rmtree(home)
        shutil.copytree(sound / "home", home)
        with pytest.raises(LibraryError, match="was deleted or replaced while it was open"):
            library.remove(sound / "videos")
    with Library.open(home) as library:
        assert len(library.videos()) == VIDEOS + 1


@pytest.mark.parametrize(
    ("name", "command", "code"),
    [
        ("vectors: NaN", "check", 4),
        ("vectors: NaN", "videos", 0),
        ("path a number", "videos", 4),
        ("path with NUL", "info", 4),
        ("length infinite", "info", 4),
        ("length a text", "videos", 4),
        ("schema number 0", "info", 0),
        ("table hits missing", "check", 4),
        ("column missing", "videos", 4),
        ("writer.json a folder", "rebuild", 0),
        ("writer.json a pipe", "rebuild", 0),
        pytest.param("manifest: no dim", "rebuild", 0, marks=marks_of("manifest: no dim")),
        ("lock a link", "rebuild", 4),
    ],
)
def test_a_command_ends_with_the_exit_code_of_what_it_met(
    home: Path, name: str, command: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ALL[name](home)
    assert run([command]) == code
    if code and command != "check":
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("windows", [None, "2", b"2", 2.0, 1, 3])
def test_vectors_are_whole_beside_their_number_of_windows_alone(windows: object) -> None:
    blob = bytes(2 * 4 * BYTES_PER_VALUE)  # two windows of four values
    assert is_whole(blob, 2, 4, checksum(blob))
    assert not is_whole(blob, windows, 4, checksum(blob))
