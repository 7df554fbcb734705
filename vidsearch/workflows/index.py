"""folder ─▶ VideoFile ─▶ ClipWindow ─▶ frames ─▶ vector ─▶ library.

The workflow yields what happens as it happens; the command draws it and a test reads a list. Stopping it at any moment
(closing the generator, Ctrl-C, kill -9) loses at most the videos that were not yet whole: each is one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.errors import VideoError, VideoErrorKind, VidsearchError
from vidsearch.records import ClipFrames, ClipWindow, FrameSpec, IndexedVideo, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.interface import Library
from vidsearch.store.plan import IndexPlan
from vidsearch.video.discover import FoundProblem, find_videos
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.pool import DecodeFailed, DecodePool, VideoDone, VideoOpened, WindowDecoded

if TYPE_CHECKING:
    from vidsearch.embedding.interface import ClipEmbedder

# Windows embedded together. Larger batches gain nothing on a CPU and cost memory: 8 windows of 256 px are 13 MB.
BATCH_WINDOWS = 8


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """What to index and how; `model` and `frame_spec` come from the model's folder."""

    model: str
    frame_spec: FrameSpec
    window_spec: WindowSpec = field(default_factory=WindowSpec)
    exclude: tuple[str, ...] = ()
    include_hidden: bool = False
    retry_failed: bool = False
    dry_run: bool = False
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class RootPlanned:
    """What a run will do about one of the given folders."""

    root: Path
    plan: IndexPlan


@dataclass(frozen=True, slots=True)
class WorkStarted:
    """All folders are walked; these files are about to be decoded, newest first. `device` names what embeds them."""

    files: tuple[VideoFile, ...]
    device: str


@dataclass(frozen=True, slots=True)
class VideoStarted:
    file: VideoFile
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class WindowEmbedded:
    file: VideoFile


@dataclass(frozen=True, slots=True)
class VideoIndexed:
    """The video is in the library, committed."""

    file: VideoFile
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """The video is recorded as failed, with its reason; or a folder could not be read (then nothing is recorded)."""

    path: Path
    kind: VideoErrorKind
    message: str


IndexOutcome = RootPlanned | WorkStarted | VideoStarted | WindowEmbedded | VideoIndexed | VideoFailed


def index_folders(
    paths: Sequence[Path],
    library: Library,
    open_embedder: Callable[[], ClipEmbedder],
    options: IndexOptions,
) -> Iterator[IndexOutcome]:
    """Brings the library up to date with the videos under `paths` and yields what it does.

    Raises LibraryError when another process is writing. `open_embedder` is called only when there is something to
    embed, so that a run over an unchanged folder never loads a network.
    """
    let_waiting_threads_sleep()
    _check_paths(paths, library)
    with library.writing():
        to_index: dict[Path, VideoFile] = {}
        fingerprints: dict[Path, str] = {}
        for root in paths:
            found, problems = _walk(root, options)
            yield from (VideoFailed(problem.path, problem.kind, problem.message) for problem in problems)
            plan = library.plan(
                root,
                found,
                model=options.model,
                window_spec=options.window_spec,
                fingerprint=fingerprint,
                retry_failed=options.retry_failed,
                unreadable=[problem.path for problem in problems],
            )
            yield RootPlanned(root, plan)
            to_index.update((file.path, file) for file in plan.to_index)
            fingerprints.update(plan.fingerprints or {})
            if not options.dry_run:
                if not plan.offline and root.exists():
                    library.add_root(root)
                library.apply(plan)
        files = tuple(sorted(to_index.values(), key=lambda file: (-file.mtime_ns, str(file.path))))
        if files and not options.dry_run:
            embedder = open_embedder()
            yield WorkStarted(files, embedder.device)
            yield from _Run(library, embedder, options, fingerprints).over(files)


def let_waiting_threads_sleep() -> None:
    """Decoders and the network share the cores: a thread that spins at a barrier takes them from the other.

    Read by OpenMP when torch loads it, so it must be set before; a user's own setting stands. Without it a run over
    many short clips took a third longer (benchmarks/indexing.py).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def _check_paths(paths: Sequence[Path], library: Library) -> None:
    """A folder that the library knows may be offline; any other must be there."""
    known = set(library.roots())
    for path in paths:
        if not os.path.lexists(path) and path not in known:
            raise VidsearchError(f"There is no {path}; give a folder of videos, or a video, that exists.")


def _walk(root: Path, options: IndexOptions) -> tuple[list[VideoFile], list[FoundProblem]]:
    found: list[VideoFile] = []
    problems: list[FoundProblem] = []
    if not os.path.lexists(root):  # a known root that is offline
        return found, problems
    for item in find_videos(root, exclude=options.exclude, include_hidden=options.include_hidden):
        if isinstance(item, VideoFile):
            found.append(item)
        else:
            problems.append(item)
    return found, problems


@dataclass(slots=True)
class _Pending:
    """A video being indexed: its windows so far, their vectors as they come, its facts once it is read to the end."""

    file: VideoFile
    windows: list[ClipWindow] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    facts: VideoFacts | None = None

    @property
    def whole(self) -> bool:
        return self.facts is not None and len(self.vectors) == len(self.windows)


class _Run:
    """One pass over the files: batches windows of neighbouring videos, commits each video when it is whole."""

    def __init__(
        self, library: Library, embedder: ClipEmbedder, options: IndexOptions, fingerprints: dict[Path, str]
    ) -> None:
        self.library = library
        self.embedder = embedder
        self.options = options
        self.fingerprints = fingerprints
        self.pending: dict[Path, _Pending] = {}
        self.batch: list[tuple[_Pending, ClipFrames]] = []

    def pool(self) -> DecodePool:
        """Decoders that may run two batches ahead of the network."""
        wanted = self.options
        return DecodePool(wanted.jobs, wanted.frame_spec, wanted.window_spec, buffered_events=2 * BATCH_WINDOWS)

    def over(self, files: Sequence[VideoFile]) -> Iterator[IndexOutcome]:
        with self.pool() as pool:
            for event in pool.decode(files):
                match event:
                    case VideoOpened(file, facts, windows):
                        self.pending[file.path] = _Pending(file)
                        yield VideoStarted(file, facts, windows)
                    case WindowDecoded(file, clip):
                        self.pending[file.path].windows.append(clip.window)
                        self.batch.append((self.pending[file.path], clip))
                    case VideoDone(file, facts):
                        self.pending[file.path].facts = facts
                    case DecodeFailed(file, error):
                        yield self.fail(file, error)
                if len(self.batch) >= BATCH_WINDOWS:
                    yield from self.embed()
                yield from self.commit()
            yield from self.embed()
            yield from self.commit()

    def embed(self) -> Iterator[IndexOutcome]:
        batch, self.batch = self.batch, []
        if not batch:
            return
        vectors = self.embedder.embed(np.stack([clip.frames for _, clip in batch]))
        for (pending, _), vector in zip(batch, vectors, strict=True):
            pending.vectors.append(vector)
            yield WindowEmbedded(pending.file)

    def commit(self) -> Iterator[IndexOutcome]:
        for pending in [pending for pending in self.pending.values() if pending.whole]:
            try:
                yield self.record(pending)
            except VideoError as error:  # it went away between the last frame and its fingerprint
                yield self.fail(pending.file, error)

    def record(self, pending: _Pending) -> VideoIndexed:
        del self.pending[pending.file.path]
        assert pending.facts is not None  # a whole video was read to its end
        path = pending.file.path
        self.library.record_indexed(
            IndexedVideo(
                pending.file,
                self.fingerprints.get(path) or fingerprint(path),
                pending.facts,
                tuple(pending.windows),
                np.stack(pending.vectors),
                self.options.model,
                self.options.window_spec,
            )
        )
        return VideoIndexed(pending.file, pending.facts, len(pending.windows))

    def fail(self, file: VideoFile, error: VideoError) -> VideoFailed:
        self.pending.pop(file.path, None)
        self.batch = [(pending, clip) for pending, clip in self.batch if pending.file.path != file.path]
        self.library.record_failed(file, error, fingerprint=self.fingerprints.get(file.path))
        return VideoFailed(file.path, error.kind, str(error))
