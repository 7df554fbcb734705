"""`index_folders` with a real library and a fake model: it yields outcomes and commits each video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder
from numpy.typing import NDArray
from video_samples import even_times, make_video

from vidsearch.embedding.executors import OneByOneExecutor, PooledExecutor, VideoStarted, WindowEmbedded
from vidsearch.records import WindowSpec
from vidsearch.store.library import open_library
from vidsearch.workflows.index import (
    IndexOptions,
    IndexOutcome,
    RootPlanned,
    VideoFailed,
    VideoIndexed,
    WorkStarted,
    index_folders,
)

OPTIONS = IndexOptions("colours", ColourEmbedder.frame_spec, WindowSpec(2.0, 1.0, ColourEmbedder.frames))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    make_video(videos / "good.mp4", even_times(30, 10))
    (videos / "no.mp4").write_bytes(b"text" * 100)
    return videos


def index(
    folder: Path, home: Path, open_embedder: Callable[[], ColourEmbedder] = ColourEmbedder, **how: object
) -> list[IndexOutcome]:
    with open_library(home) as library:
        return list(index_folders([folder], library, open_embedder, OPTIONS, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("open_executor", [PooledExecutor, OneByOneExecutor])
def test_a_run_yields_what_it_does(folder: Path, tmp_path: Path, open_executor: object) -> None:
    outcomes = index(folder, tmp_path / "home", open_executor=open_executor)
    assert isinstance(outcomes[0], RootPlanned)
    assert isinstance(outcomes[1], WorkStarted) and outcomes[1].device == "none"
    (failed,) = [outcome for outcome in outcomes if isinstance(outcome, VideoFailed)]
    assert (failed.path.name, failed.kind) == ("no.mp4", "not-a-video")
    (indexed,) = [outcome for outcome in outcomes if isinstance(outcome, VideoIndexed)]
    assert (indexed.file.path.name, indexed.windows) == ("good.mp4", 2)
    of_good = [outcome for outcome in outcomes if isinstance(outcome, VideoStarted | WindowEmbedded | VideoIndexed)]
    assert [type(outcome) for outcome in of_good] == [VideoStarted, WindowEmbedded, WindowEmbedded, VideoIndexed]
    with open_library(tmp_path / "home") as library:
        assert {row.path.name: (row.state, row.windows) for row in library.videos()} == {
            "good.mp4": ("indexed", 2),
            "no.mp4": ("failed", 0),
        }


def test_an_unchanged_folder_opens_no_model(folder: Path, tmp_path: Path) -> None:
    index(folder, tmp_path / "home")

    def no_embedder() -> ColourEmbedder:
        raise AssertionError("opened")

    (planned,) = index(folder, tmp_path / "home", no_embedder)
    assert isinstance(planned, RootPlanned)
    assert (len(planned.plan.unchanged), len(planned.plan.failed_before)) == (1, 1)


def test_a_file_replaced_while_its_windows_are_embedded_is_indexed_by_the_next_run(
    folder: Path, tmp_path: Path
) -> None:
    other = make_video(tmp_path / "other.mp4", even_times(60, 10)).read_bytes()

    class Replacing(ColourEmbedder):
        def embed_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
            (folder / "good.mp4").write_bytes(other)
            return super().embed_clips(clips)

    index(folder, tmp_path / "home", Replacing)
    (indexed,) = [outcome for outcome in index(folder, tmp_path / "home") if isinstance(outcome, VideoIndexed)]
    assert (indexed.file.path.name, indexed.windows) == ("good.mp4", 5)
