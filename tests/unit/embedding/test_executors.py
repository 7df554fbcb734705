"""Whoever embeds a video, its record is the same; what cannot be read ends with its reason and stops nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder
from video_samples import even_times, make_room_video, make_video

from vidsearch.embedding.executors import (
    EmbedEvent,
    Executor,
    OneByOneExecutor,
    PooledExecutor,
    Reconsidered,
    RuntimeChosen,
    VideoStarted,
    WindowEmbedded,
)
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.videos import EmbedSpec, VideoEmbedder, embed_video
from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec, IndexedVideo, VideoFile, WindowSpec
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.pool import DecodeFailed

SPEC = EmbedSpec("colours", ColourEmbedder.frame_spec, WindowSpec(2.0, 1.0, ColourEmbedder.frames))


def found(path: Path) -> VideoFile:
    status = path.stat()
    return VideoFile(path, status.st_size, status.st_mtime_ns)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[VideoFile]:
    """Three videos of 4, 1 and 6 seconds, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for name, seconds in (("a.mp4", 4), ("b.mkv", 1), ("c.mp4", 6)):
        make_video(folder / name, even_times(10 * seconds, 10))
    (folder / "no.mp4").write_bytes(b"text" * 100)
    return [found(path) for path in sorted(folder.iterdir())]


def records(events: Iterable[EmbedEvent]) -> dict[str, IndexedVideo]:
    return {event.file.path.name: event for event in events if isinstance(event, IndexedVideo)}


def one_by_one(spec: EmbedSpec) -> Executor:
    return OneByOneExecutor(spec, ColourEmbedder)


def pooled(spec: EmbedSpec) -> Executor:
    return PooledExecutor(spec, ColourEmbedder, jobs=2)


def test_pooled_and_plain_give_the_same_records(files: list[VideoFile]) -> None:
    plain, several = records(one_by_one(SPEC).run(files)), records(pooled(SPEC).run(files))
    assert sorted(plain) == sorted(several) == ["a.mp4", "b.mkv", "c.mp4"]
    for name, video in plain.items():
        other = several[name]
        assert (video.file, video.fingerprint, video.facts, video.windows) == (
            other.file,
            other.fingerprint,
            other.facts,
            other.windows,
        )
        np.testing.assert_array_equal(video.vectors, other.vectors)
    assert [len(plain[name].windows) for name in sorted(plain)] == [3, 1, 5]


@pytest.mark.parametrize("open_executor", [one_by_one, pooled])
def test_every_file_ends_once(files: list[VideoFile], open_executor: Callable[[EmbedSpec], Executor]) -> None:
    events = list(open_executor(SPEC).run(files))
    ended = [event.file.path.name for event in events if isinstance(event, IndexedVideo | DecodeFailed)]
    assert sorted(ended) == ["a.mp4", "b.mkv", "c.mp4", "no.mp4"]
    assert [(event.file.path.name, event.error.kind) for event in events if isinstance(event, DecodeFailed)] == [
        ("no.mp4", "not-a-video")
    ]
    assert sum(isinstance(event, VideoStarted) for event in events) == 3


@pytest.mark.parametrize("open_executor", [one_by_one, pooled])
def test_the_work_ends_with_its_generator(
    files: list[VideoFile], open_executor: Callable[[EmbedSpec], Executor]
) -> None:
    with closing(open_executor(SPEC).run(files)) as events:
        next(events)


def test_a_record_crosses_a_pipe_and_bears_the_fingerprint_of_what_was_decoded(files: list[VideoFile]) -> None:
    with VideoEmbedder(pickle.loads(pickle.dumps(SPEC)), ColourEmbedder()) as one:
        video = pickle.loads(pickle.dumps(one.embed(files[0])))
    assert (video.file, video.fingerprint) == (files[0], fingerprint(files[0].path))
    assert (video.model, video.window_spec, video.vectors.shape) == ("colours", SPEC.window_spec, (3, 3))


def test_embed_video_is_a_task_for_other_processes(files: list[VideoFile], tmp_path: Path) -> None:
    """The bundled model in a fresh process, two videos, one of them no video."""
    spec = EmbedSpec("mobileviclip-nano", FrameSpec(64), WindowSpec(2.0, 1.0, 8), models_dir=tmp_path, device="cpu")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        failed, made = [elsewhere.submit(embed_video, file, spec) for file in (files[3], files[0])]
        assert isinstance(failed.exception(), VideoError)
        video = made.result()
    assert (video.file, len(video.windows)) == (files[0], 3)
    np.testing.assert_allclose(np.linalg.norm(video.vectors, axis=1), 1, atol=1e-5)


class Counting(ColourEmbedder):
    """Counts the clips that it embeds."""

    def __init__(self) -> None:
        self.clips = 0

    def embed(self, given: np.ndarray) -> np.ndarray:  # type: ignore[override]
        self.clips += len(given)
        return super().embed(given)


def test_a_long_run_is_reconsidered_once(files: list[VideoFile]) -> None:
    first, then = Counting(), Counting()
    asked: list[tuple[EmbedSpec, ClipEmbedder]] = []

    def if_long(spec: EmbedSpec, running: ClipEmbedder) -> Reconsidered:
        asked.append((spec, running))
        return Reconsidered(then, "quicker")

    executor = PooledExecutor(SPEC, lambda: first, if_long=if_long, long_run_windows=5)
    events = list(executor.run(files))
    assert asked == [(SPEC, first)]
    assert [event for event in events if isinstance(event, RuntimeChosen)] == [RuntimeChosen("none", "quicker")]
    total = sum(len(video.windows) for video in records(events).values())
    assert then.clips > 0 and first.clips + then.clips == total
    plain = records(one_by_one(SPEC).run(files))
    for name, video in records(events).items():
        np.testing.assert_array_equal(video.vectors, plain[name].vectors)


def test_a_short_run_is_not_reconsidered(files: list[VideoFile]) -> None:
    total = sum(len(video.windows) for video in records(one_by_one(SPEC).run(files)).values())

    def if_long(spec: EmbedSpec, running: ClipEmbedder) -> Reconsidered:
        raise AssertionError("it is not long")

    good = files[:-1]
    assert (
        len(records(PooledExecutor(SPEC, ColourEmbedder, if_long=if_long, long_run_windows=20 * total).run(good))) == 3
    )


def test_a_long_run_may_go_on_as_it_is(files: list[VideoFile]) -> None:
    events = list(PooledExecutor(SPEC, ColourEmbedder, if_long=lambda *_: None, long_run_windows=5).run(files))
    assert len(records(events)) == 3 and not any(isinstance(event, RuntimeChosen) for event in events)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> list[VideoFile]:
    """What two cameras saw: a room in which a lamp is on from 8 s to 12 s, and one in which nothing happens."""
    folder = tmp_path_factory.mktemp("rooms")
    make_room_video(folder / "lamp.mp4", [(8, False), (4, True), (8, False)])
    make_room_video(folder / "night.mp4", [(12, False)])
    return [found(path) for path in sorted(folder.iterdir())]


# Of windows of 2 s every second over 20 s: 7 dark ones, 1 at each change, 3 lit ones, 7 dark ones. The last dark ones
# show what the first ones did, but the last one with a vector of its own was another: they get one again.
LAMP_ROWS = [*[0] * 7, 1, *[2] * 3, 3, *[4] * 7]


@pytest.mark.parametrize("executor", [OneByOneExecutor, PooledExecutor])
def test_still_windows_cost_no_embedding_and_take_over_a_vector(
    rooms: list[VideoFile], executor: type[OneByOneExecutor] | type[PooledExecutor]
) -> None:
    embedder = Counting()
    events = list(executor(SPEC, lambda: embedder, 2).run(rooms))
    videos = records(events)
    lamp, night = videos["lamp.mp4"], videos["night.mp4"]
    assert (len(lamp.windows), lamp.still_windows, len(night.windows), night.still_windows) == (19, 14, 11, 10)
    assert embedder.clips == 5 + 1
    assert len(np.unique(lamp.vectors, axis=0)) == 5 and len(np.unique(night.vectors, axis=0)) == 1
    firsts = [LAMP_ROWS.index(row) for row in LAMP_ROWS]
    np.testing.assert_array_equal(lamp.vectors, lamp.vectors[firsts])
    assert lamp.pictures is not None and lamp.pictures.shape == (19, 8, 8)
    progress = [event for event in events if isinstance(event, WindowEmbedded)]
    assert (len(progress), sum(event.still for event in progress)) == (30, 24)


def test_every_executor_takes_over_the_same_vectors(rooms: list[VideoFile]) -> None:
    plain, several = records(one_by_one(SPEC).run(rooms)), records(pooled(SPEC).run(rooms[::-1]))
    for name, video in plain.items():
        np.testing.assert_array_equal(video.vectors, several[name].vectors)
        np.testing.assert_array_equal(video.pictures, several[name].pictures)
        assert video.still_windows == several[name].still_windows


def test_embed_gives_every_window_its_own_vector(rooms: list[VideoFile]) -> None:
    embedder = Counting()
    own = records(PooledExecutor(replace(SPEC, still="embed"), lambda: embedder, 2).run(rooms))
    assert embedder.clips == 30 and [video.still_windows for video in own.values()] == [0, 0]
    reused = records(pooled(SPEC).run(rooms))
    for name, video in own.items():
        assert len(np.unique(video.vectors, axis=0)) > len(np.unique(reused[name].vectors, axis=0))
        assert (video.vectors * reused[name].vectors).sum(axis=1).min() > 0.999
