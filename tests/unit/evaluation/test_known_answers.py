"""Queries from a file, asked of a library whose clips are plain colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder

from vidsearch.errors import LibraryError, VidsearchError
from vidsearch.evaluation.calibration import NOWHERE
from vidsearch.evaluation.known_answers import JudgedQuery, ask, read_queries, require_enough
from vidsearch.records import ClipWindow, IndexedVideo, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.interface import Library
from vidsearch.store.library import open_library

FACTS = VideoFacts(0, 12, 25, 300, 64, 64, "h264", "mov", 0, "pyav")
WINDOWS = (ClipWindow(0, 8, (4.0,)), ClipWindow(4, 12, (8.0,)))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """Two videos of two windows: red, then half red half green; all blue."""
    with open_library(tmp_path / "home") as library, library.writing():
        library.add_root(tmp_path)
        for name, colours in (("warm.mp4", [[1, 0, 0], [1, 1, 0]]), ("cold.mp4", [[0, 0, 1], [0, 0, 1]])):
            (tmp_path / name).write_text(name)
            file, vectors = VideoFile(tmp_path / name, len(name), 0), np.array(colours, dtype=np.float32)
            library.record_indexed(
                IndexedVideo(file, name, FACTS, WINDOWS, vectors, ColourEmbedder.model, WindowSpec())
            )
        yield library


def test_a_video_scores_as_its_best_window(library: Library, tmp_path: Path) -> None:
    queries = [
        JudgedQuery("green", tmp_path / "warm.mp4"),
        JudgedQuery("blue", tmp_path / "cold.mp4"),
        JudgedQuery("red blue", None),
        JudgedQuery("a zebra", None),  # of which the model knows no word
    ]
    known = ask(library, ColourEmbedder(), queries)
    videos = [row.path.name for row in library.videos()]
    assert videos == ["cold.mp4", "warm.mp4"]
    assert known.own.tolist() == [1, 0, NOWHERE, NOWHERE]
    np.testing.assert_allclose(known.scores, [[0, 0.5**0.5], [1, 0], [0.5**0.5, 0.5**0.5], [-1, -1]], atol=1e-3)


def test_a_video_that_is_not_indexed_is_named(library: Library, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"1 of the videos .*cool\.mp4.*vidsearch index --model colours"):
        ask(library, ColourEmbedder(), [JudgedQuery("blue", tmp_path / "cool.mp4"), JudgedQuery("a zebra", None)])


def test_rows_of_a_file(tmp_path: Path) -> None:
    source = tmp_path / "queries.csv"
    source.write_text('file,text\nwarm.mp4,"red, then green"\n/videos/cold.mp4,blue\u2028sky\n,"a\nzebra"\n', "utf-8")
    assert read_queries(source) == [
        JudgedQuery("red, then green", tmp_path / "warm.mp4"),
        JudgedQuery("blue\u2028sky", Path("/videos/cold.mp4")),
        JudgedQuery("a\nzebra", None),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "lacks the columns"),
        ("name,text\na,b\n", "lacks the columns"),
        ("file,text\na.mp4,\n", "row 2: there is no text"),
        ("file,text\na.mp4\n", "row 2: there is no text"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_is_no_file_of_queries_is_told(tmp_path: Path, content: str | bytes, words: str) -> None:
    source = tmp_path / "queries.csv"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(VidsearchError, match=words):
        read_queries(source)


def test_a_handful_of_queries_is_too_few() -> None:
    present = [JudgedQuery("red", Path("/warm.mp4"))] * 20
    with pytest.raises(VidsearchError, match="20 queries with a file and 19 without"):
        require_enough(present + [JudgedQuery("a zebra", None)] * 19)
    require_enough(present + [JudgedQuery("a zebra", None)] * 20)
