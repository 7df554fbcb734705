"""`index_folders` with a real library and a fake model: it yields outcomes and commits each video."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder
from numpy.typing import NDArray
from video_samples import even_times, make_colour_video, make_cut_video, make_room_video, make_video

from vidsearch.embedding.executors import OneByOneExecutor, PooledExecutor, VideoStarted, WindowEmbedded
from vidsearch.errors import VidsearchError
from vidsearch.records import WindowSpec
from vidsearch.store.interface import Library
from vidsearch.store.library import open_library
from vidsearch.workflows.index import (
    DamagedElsewhere,
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


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """red.mp4, green.mp4 and blue.mp4, of 4 seconds, the red one the newest."""
    folder = tmp_path_factory.mktemp("samples")
    for age_s, colour in enumerate(("red", "green", "blue")):
        path = make_colour_video(folder / f"{colour}.mp4", (colour, 4))
        os.utime(path, (1_700_000_000 - age_s, 1_700_000_000 - age_s))
    return folder


@pytest.fixture
def videos(samples: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with the three samples."""
    shutil.copytree(samples, tmp_path / "videos")
    return tmp_path / "videos"


@pytest.fixture
def library(own_home: Path) -> Iterator[Library]:
    with open_library(own_home) as opened:
        yield opened


def no_embedder() -> ColourEmbedder:
    raise AssertionError("a network is opened although there is nothing to embed")


def run(library: Library, *paths: Path, options: IndexOptions = OPTIONS) -> list[IndexOutcome]:
    return list(index_folders(paths, library, ColourEmbedder, options, open_executor=OneByOneExecutor))


def names(outcomes: list[IndexOutcome], kind: type[VideoIndexed] = VideoIndexed) -> list[str]:
    return [outcome.file.path.name for outcome in outcomes if isinstance(outcome, kind)]


def states(library: Library) -> dict[str, str]:
    return {row.path.name: row.state for row in library.videos()}


def test_every_video_is_indexed_newest_first_and_a_second_run_finds_nothing_to_do(
    library: Library, videos: Path
) -> None:
    outcomes = run(library, videos)
    assert names(outcomes) == ["red.mp4", "green.mp4", "blue.mp4"]
    assert [outcome.windows for outcome in outcomes if isinstance(outcome, VideoIndexed)] == [3, 3, 3]
    started = next(outcome for outcome in outcomes if isinstance(outcome, WorkStarted))
    assert ([file.path.name for file in started.files], started.device) == (
        ["red.mp4", "green.mp4", "blue.mp4"],
        "none",
    )
    [again] = index_folders([videos], library, no_embedder, OPTIONS)
    assert isinstance(again, RootPlanned) and len(again.plan.unchanged) == 3
    assert library.roots() == [videos]


def test_a_file_that_fails_is_recorded_skipped_and_tried_again_when_asked_or_changed(
    library: Library, videos: Path
) -> None:
    (videos / "green.mp4").write_bytes(b"<html>not found</html>")
    outcomes = run(library, videos)
    [failed] = [outcome for outcome in outcomes if isinstance(outcome, VideoFailed)]
    assert (failed.path.name, failed.kind) == ("green.mp4", "not-a-video")
    assert states(library) == {"red.mp4": "indexed", "green.mp4": "failed", "blue.mp4": "indexed"}
    [planned] = index_folders([videos], library, no_embedder, OPTIONS)
    assert isinstance(planned, RootPlanned) and len(planned.plan.failed_before) == 1
    retried = run(library, videos, options=replace(OPTIONS, retry_failed=True))
    assert [outcome.path.name for outcome in retried if isinstance(outcome, VideoFailed)] == ["green.mp4"]
    shutil.copy(videos / "red.mp4", videos / "green.mp4")
    os.utime(videos / "green.mp4")
    run(library, videos)
    assert states(library)["green.mp4"] == "indexed"


def test_a_file_with_a_time_that_no_64_bits_hold_is_indexed_once(library: Library, videos: Path) -> None:
    year_2302_s = 10_500_000_000
    os.utime(videos / "green.mp4", (year_2302_s, year_2302_s))
    if (videos / "green.mp4").stat().st_mtime != year_2302_s:
        pytest.skip("this file system keeps no such times")
    assert set(names(run(library, videos))) == {"red.mp4", "green.mp4", "blue.mp4"}
    assert names(run(library, videos)) == []


def test_a_moved_file_keeps_its_vectors_and_a_deleted_one_leaves(library: Library, videos: Path) -> None:
    run(library, videos)
    (videos / "red.mp4").rename(videos / "renamed.mp4")
    (videos / "blue.mp4").unlink()
    [planned] = index_folders([videos], library, no_embedder, OPTIONS)
    assert isinstance(planned, RootPlanned)
    assert (len(planned.plan.moved), len(planned.plan.gone)) == (1, 1)
    assert states(library) == {"green.mp4": "indexed", "renamed.mp4": "indexed"}


def test_a_folder_that_is_not_there_is_offline_if_it_is_known_and_else_a_mistake(
    library: Library, videos: Path, tmp_path: Path
) -> None:
    run(library, videos)
    videos.rename(tmp_path / "unplugged")
    [planned] = index_folders([videos], library, no_embedder, OPTIONS)
    assert isinstance(planned, RootPlanned) and planned.plan.offline
    assert set(states(library).values()) == {"offline"}
    with pytest.raises(VidsearchError, match=r"There is no .*elsewhere"):
        run(library, tmp_path / "elsewhere")


def test_a_dry_run_plans_and_changes_nothing(library: Library, videos: Path) -> None:
    [planned] = index_folders([videos], library, no_embedder, replace(OPTIONS, dry_run=True))
    assert isinstance(planned, RootPlanned) and len(planned.plan.to_index) == 3
    assert library.roots() == [] and library.videos() == []


def test_what_is_done_before_ctrl_c_stays_and_the_next_run_does_the_rest(library: Library, videos: Path) -> None:
    outcomes = index_folders([videos], library, ColourEmbedder, OPTIONS, open_executor=OneByOneExecutor)
    first = next(outcome for outcome in outcomes if isinstance(outcome, VideoIndexed))
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert first.file.path.name in states(library)
    done_before = len(states(library))
    assert len(names(run(library, videos))) == 3 - done_before
    assert states(library) == {"red.mp4": "indexed", "green.mp4": "indexed", "blue.mp4": "indexed"}


def test_another_window_spec_indexes_again(library: Library, videos: Path) -> None:
    run(library, videos)
    other = replace(OPTIONS, window_spec=WindowSpec(4.0, 4.0, ColourEmbedder.frames))
    assert [
        outcome.windows for outcome in run(library, videos, options=other) if isinstance(outcome, VideoIndexed)
    ] == [
        1,
        1,
        1,
    ]


def test_a_single_file_and_excluded_names(library: Library, videos: Path) -> None:
    assert names(run(library, videos / "blue.mp4")) == ["blue.mp4"]
    assert names(run(library, videos, options=replace(OPTIONS, exclude=("green*",)))) == ["red.mp4"]


def plan_of(outcomes: list[IndexOutcome]) -> RootPlanned:
    [planned] = [outcome for outcome in outcomes if isinstance(outcome, RootPlanned)]
    return planned


@pytest.mark.parametrize("how", ["option", "file", "hidden"])
def test_what_is_excluded_after_it_was_indexed_leaves_the_library(library: Library, videos: Path, how: str) -> None:
    (videos / "raw").mkdir()
    (videos / "red.mp4").rename(videos / "raw" / "red.mp4")
    options = OPTIONS
    if how == "hidden":
        (videos / "raw").rename(videos / ".raw")
        run(library, videos, options=replace(OPTIONS, include_hidden=True))
    else:
        run(library, videos)
    if how == "file":
        (videos / ".vidsearchignore").write_text("raw/\n")
    elif how == "option":
        options = replace(OPTIONS, exclude=("raw",))
    dry = plan_of(run(library, videos, options=replace(options, dry_run=True)))
    assert [path.name for path in dry.plan.excluded] == ["red.mp4"] and len(states(library)) == 3
    planned = plan_of(run(library, videos, options=options))
    assert [path.name for path in planned.plan.excluded] == ["red.mp4"]
    assert states(library) == {"green.mp4": "indexed", "blue.mp4": "indexed"}


def test_what_was_given_by_its_own_name_is_not_excluded_with_its_folder(library: Library, videos: Path) -> None:
    (videos / ".hidden").mkdir()
    (videos / "red.mp4").rename(videos / ".hidden" / "red.mp4")
    (videos / "blue.mp4").rename(videos / "blue.bin")
    run(library, videos / ".hidden")
    run(library, videos / "blue.bin")
    assert plan_of(run(library, videos)).plan.excluded == ()
    assert set(states(library)) == {"red.mp4", "blue.bin", "green.mp4"}


def test_a_file_that_is_named_stays_although_its_folder_leaves_it_out(library: Library, videos: Path) -> None:
    (videos / "raw").mkdir()
    (videos / "red.mp4").rename(videos / "raw" / "red.mp4")
    (videos / "blue.mp4").rename(videos / ".blue.mp4")
    (videos / ".vidsearchignore").write_text("raw/\n")
    run(library, videos)
    run(library, videos / "raw" / "red.mp4", videos / ".blue.mp4", videos / "green.mp4")
    assert plan_of(run(library, videos)).plan.excluded == ()
    assert set(states(library)) == {"red.mp4", ".blue.mp4", "green.mp4"}
    assert library.roots() == [videos, videos / "raw" / "red.mp4", videos / ".blue.mp4"]
    library.remove(videos / "raw" / "red.mp4")
    run(library, videos)
    assert set(states(library)) == {".blue.mp4", "green.mp4"}


def test_damage_in_other_folders_is_told(library: Library, videos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    make_colour_video(other / "new.mp4", ("red", 2), ("blue", 2))
    run(library, videos)
    with closing(sqlite3.connect(library.folder / "library.sqlite3")) as connection, connection:
        connection.execute(
            "UPDATE embeddings SET vectors = zeroblob(length(vectors)) WHERE video_id = "
            "(SELECT id FROM videos WHERE path LIKE '%red.mp4')"
        )
    assert run(library, other)[-1] == DamagedElsewhere((videos / "red.mp4",))
    assert names(run(library, videos)) == ["red.mp4"]
    assert not [outcome for outcome in run(library, other) if isinstance(outcome, DamagedElsewhere)]


def test_a_folder_and_a_link_to_it_are_one_folder(library: Library, videos: Path, tmp_path: Path) -> None:
    run(library, videos)
    (tmp_path / "link").symlink_to(videos)
    planned = plan_of(run(library, tmp_path / "link"))
    assert (planned.root, planned.given, len(planned.plan.unchanged)) == (videos, tmp_path / "link", 3)
    below = plan_of(run(library, tmp_path / "link" / "red.mp4"))
    assert (below.root, len(below.plan.unchanged)) == (videos / "red.mp4", 1)
    assert library.roots() == [videos]
    both = [outcome.root for outcome in run(library, videos, tmp_path / "link") if isinstance(outcome, RootPlanned)]
    assert both == [videos, videos]


def test_a_root_that_was_renamed_leaves_with_its_videos(library: Library, videos: Path, tmp_path: Path) -> None:
    run(library, videos)
    videos.rename(tmp_path / "new")
    assert len(plan_of(run(library, tmp_path / "new")).plan.moved) == 3
    assert library.roots() == [tmp_path / "new"]


def test_a_change_of_windows_is_planned_with_what_they_were(library: Library, videos: Path) -> None:
    run(library, videos)
    other = replace(OPTIONS, window_spec=WindowSpec(4.0, 4.0, ColourEmbedder.frames))
    for options in (replace(other, dry_run=True), other):
        assert plan_of(run(library, videos, options=options)).plan.recut == (OPTIONS.window_spec,) * 3
    assert plan_of(run(library, videos, options=other)).plan.recut == ()


def test_embed_indexes_again_what_took_over_vectors_and_reuse_takes_either(library: Library, tmp_path: Path) -> None:
    """So a library of before there were still windows, which says nothing of them, stays as it is."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    make_room_video(folder / "still.mp4", [(4, False)])
    make_room_video(folder / "changing.mp4", [(1, False), (1, True), (1, False)])
    own = replace(OPTIONS, still="embed")

    def again(options: IndexOptions) -> tuple[int, dict[str, int]]:
        outcomes = run(library, folder, options=options)
        still = {it.file.path.name: it.still_windows for it in outcomes if isinstance(it, VideoIndexed)}
        return plan_of(outcomes).plan.embedded_again, still

    assert again(OPTIONS) == (0, {"still.mp4": 2, "changing.mp4": 0})
    assert library.info().models[0].still_windows == 2
    assert again(OPTIONS) == (0, {})
    shutil.copy(folder / "still.mp4", folder / "twin.mp4")
    assert again(OPTIONS) == (0, {})  # copied in the library, with what is known of its windows
    assert library.info().models[0].still_windows == 4
    assert again(replace(own, dry_run=True)) == (2, {})
    assert again(own) == (2, {"still.mp4": 0, "twin.mp4": 0})
    assert library.info().models[0].still_windows == 0
    assert again(OPTIONS) == again(own) == (0, {})


@pytest.mark.needs_scenedetect
def test_windows_that_follow_cuts_are_another_kind_of_the_same_length(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    make_cut_video(folder / "film.mp4", [1.2, 1.4, 4.4], fps=10)
    grid = replace(OPTIONS, window_spec=WindowSpec(2.0, 2.0, ColourEmbedder.frames))
    shots = replace(OPTIONS, window_spec=WindowSpec(2.0, 2.0, ColourEmbedder.frames, "shots"))
    assert names(run(library, folder, options=grid)) == ["film.mp4"]
    again = run(library, folder, options=shots)
    assert plan_of(again).plan.recut == (grid.window_spec,)
    held = library.window_vectors(folder / "film.mp4", model=OPTIONS.model)
    assert held is not None and held.spans_s.tolist() == [[0, 1.2], [1.2, 2.6], [2.6, 4.6], [4.6, 7.0]]
    assert library.info().models[0].window_specs == (shots.window_spec,)
    shutil.copy(folder / "film.mp4", folder / "twin.mp4")
    assert names(run(library, folder, options=shots)) == []  # copied in the library, with the kind of its windows
    assert library.info().models[0].window_specs == (shots.window_spec,) and library.info().models[0].windows == 8
    assert sorted(names(run(library, folder, options=grid))) == ["film.mp4", "twin.mp4"]
    assert library.info().models[0].window_specs == (grid.window_spec,)


@pytest.mark.needs_scenedetect
@pytest.mark.parametrize("open_executor", [PooledExecutor, OneByOneExecutor])
def test_every_executor_follows_the_same_cuts(tmp_path: Path, open_executor: object) -> None:
    films = tmp_path / "films"
    films.mkdir()
    make_cut_video(films / "film.mp4", [2.0, 1.4, 4.4], fps=10)
    options = replace(OPTIONS, window_spec=WindowSpec(2.0, 2.0, ColourEmbedder.frames, "shots"))
    with open_library(tmp_path / "home") as library:
        outcomes = list(index_folders([films], library, ColourEmbedder, options, open_executor=open_executor))  # type: ignore[arg-type]
        [indexed] = [outcome for outcome in outcomes if isinstance(outcome, VideoIndexed)]
        held = library.window_vectors(films / "film.mp4", model=OPTIONS.model)
    assert indexed.windows == 4
    assert held is not None and held.spans_s.tolist() == [[0, 2.0], [2.0, 3.4], [3.4, 5.4], [5.4, 7.8]]


def test_a_dry_run_waits_for_no_other_writer(library: Library, videos: Path, own_home: Path) -> None:
    with library.writing(), open_library(own_home) as other:
        planned = plan_of(run(other, videos, options=replace(OPTIONS, dry_run=True)))
    assert len(planned.plan.to_index) == 3


def test_a_named_file_that_is_no_video_is_told_and_not_kept(library: Library, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("notes.txt", "not-a-video"), ("pipe", "not-a-file")):
        [failed] = [outcome for outcome in run(library, tmp_path / name) if isinstance(outcome, VideoFailed)]
        assert (failed.kind, failed.recorded) == (kind, False)
    assert library.videos() == [] and library.roots() == []


def test_what_is_left_out_is_counted(library: Library, tmp_path: Path) -> None:
    (tmp_path / "folder" / ".hidden").mkdir(parents=True)
    (tmp_path / "folder" / "a.mp4").write_bytes(b"")
    (tmp_path / "folder" / ".b.mp4").write_bytes(b"")
    (tmp_path / "folder" / "notes.txt").write_bytes(b"")
    planned = plan_of(run(library, tmp_path / "folder", options=replace(OPTIONS, exclude=("a.*",))))
    assert planned.left_out == 3 and planned.plan.finds_nothing
