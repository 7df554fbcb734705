"""folder ─▶ VideoFile ─▶ ClipWindow ─▶ frames ─▶ vector ─▶ library.

The workflow yields what happens as it happens; the command draws it and a test reads a list. Stopping it at any moment
(closing the generator, Ctrl-C, kill -9) loses at most the videos that were not yet whole: each is one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from vidsearch.embedding.executors import (
    EmbedEvent,
    Executor,
    PooledExecutor,
    RuntimeChosen,
    VideoStarted,
    WindowEmbedded,
)
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.videos import EmbedSpec
from vidsearch.errors import VideoErrorKind, VidsearchError
from vidsearch.files import within_known
from vidsearch.machine import let_waiting_threads_sleep
from vidsearch.records import FrameSpec, IndexedVideo, Still, VectorExtractor, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.freshness import keep_walk, names_digest
from vidsearch.store.interface import Library
from vidsearch.store.plan import IndexPlan, PlanRequest
from vidsearch.video.discover import (
    VIDEO_SUFFIXES,
    FoundProblem,
    LeftOut,
    WalkedNames,
    find_videos,
    leaves_out,
    looks_like_video,
)
from vidsearch.video.fingerprint import fingerprint
from vidsearch.video.header import recorded_at
from vidsearch.video.pool import DecodeFailed

# Of a file that was given by its name and is not named like a video: it is none.
_NO_VIDEOS = frozenset({"not-a-video", "no-video-stream", "empty-file"})


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
    models_dir: Path | None = None  # None: the user's
    device: str = "auto"
    runtime: str = "auto"  # torch or onnx: what runs the network
    still: Still = "reuse"

    @property
    def embed_spec(self) -> EmbedSpec:
        """What an executor needs to know of it."""
        return EmbedSpec(
            self.model,
            self.frame_spec,
            self.window_spec,
            self.models_dir,
            self.device,
            runtime=self.runtime,
            still=self.still,
        )


@dataclass(frozen=True, slots=True)
class RootPlanned:
    """What a run will do about one of the given folders. `given`: as it was given, if the library knows it otherwise.

    `left_out`: folders and files named like videos that are hidden or excluded by a pattern.
    """

    root: Path
    plan: IndexPlan
    given: Path | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class WorkStarted:
    """All folders are walked; these files are about to be decoded, newest first. `device` names what embeds them."""

    files: tuple[VideoFile, ...]
    device: str


@dataclass(frozen=True, slots=True)
class VideoIndexed:
    """The video is in the library, committed."""

    file: VideoFile
    facts: VideoFacts
    windows: int
    still_windows: int = 0  # that took over the vector of an earlier one


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """A video is recorded as failed, with its reason; or, not `recorded`, what was met is not a video to be kept.

    That is a folder that could not be read, a link that leads nowhere, a pipe, or a file that was given by its name and
    is not a video.
    """

    path: Path
    kind: VideoErrorKind
    message: str
    recorded: bool = True


@dataclass(frozen=True, slots=True)
class DamagedElsewhere:
    """Videos outside the given folders whose vectors in the library are damaged: neither searched nor mended."""

    paths: tuple[Path, ...]


Progress = VideoStarted | WindowEmbedded | RuntimeChosen
IndexOutcome = RootPlanned | WorkStarted | Progress | VideoIndexed | VideoFailed | DamagedElsewhere


def index_folders(
    paths: Sequence[Path],
    library: Library,
    open_embedder: Callable[[], ClipEmbedder],
    options: IndexOptions,
    *,
    open_executor: Callable[[EmbedSpec, Callable[[], ClipEmbedder], int], Executor] = PooledExecutor,
) -> Iterator[IndexOutcome]:
    """Brings the library up to date with the videos under `paths` and yields what it does.

    Raises LibraryError when another process is writing; a dry run writes nothing and does not mind. `open_executor` is
    given a spec, `open_embedder` and the number of decoding jobs, only if there is something to embed: a run over an
    unchanged folder loads no network.
    """
    let_waiting_threads_sleep()
    _check_paths(paths, library)
    with nullcontext() if options.dry_run else library.writing():
        to_index: dict[Path, VideoFile] = {}
        fingerprints: dict[Path, str] = {}
        known, roots = list(library.roots()), list[Path]()
        for path in paths:
            root = within_known(path, known)
            known.append(root)
            roots.append(root)
            walked: WalkedNames = {}
            found, problems, left_out = _walk(root, options, walked)
            for problem in problems:
                yield VideoFailed(problem.path, problem.kind, problem.message, recorded=False)
            plan = library.plan(_request(root, found, problems, options))
            yield RootPlanned(root, plan, None if root == path else path, len(left_out))
            to_index.update((file.path, file) for file in plan.to_index)
            fingerprints.update(plan.fingerprints or {})
            if not options.dry_run:
                if not plan.offline and (root.is_dir() or found):
                    library.add_root(root, by_name=any(leaves_out(it, root) for it in _folders_above(root, known)))
                library.apply(plan)
                _date(library, root)
                if root.is_dir():
                    digests = {folder: (at, names_digest(names)) for folder, (at, names) in walked.items()}
                    keep_walk(library.folder, root, digests)
        files = tuple(sorted(to_index.values(), key=lambda file: (-file.mtime_ns, str(file.path))))
        if files and not options.dry_run:
            executor = open_executor(options.embed_spec, open_embedder, options.jobs)
            yield WorkStarted(files, executor.device)
            with closing(executor.run(files)) as events:
                yield from _commit(events, library, fingerprints)
        if damaged := library.damaged_outside(roots):
            yield DamagedElsewhere(tuple(damaged))


def _request(
    root: Path, found: Sequence[VideoFile], problems: Sequence[FoundProblem], options: IndexOptions
) -> PlanRequest:
    """What the library needs to know of a walk to plan what is to be done."""
    return PlanRequest(
        root,
        found,
        frozenset({VectorExtractor(options.model, options.window_spec, options.still)}),
        fingerprint,
        retry_failed=options.retry_failed,
        unreadable=[problem.path for problem in problems],
        suffixes=VIDEO_SUFFIXES,
    )


def _date(library: Library, root: Path) -> None:
    """Asks the videos that an earlier version indexed when they were recorded; those out of reach wait."""
    undated = [video for video in library.undated(root) if video.is_file()]
    if undated:
        library.record_dates({video: recorded_at(video) for video in undated})


def _check_paths(paths: Sequence[Path], library: Library) -> None:
    """A folder that the library knows may be offline; any other must be there."""
    known = library.roots()
    for path in paths:
        if not os.path.lexists(path) and within_known(path, known) not in known:
            raise VidsearchError(f"There is no {path}; give a folder of videos, or a video, that exists.")


def _folders_above(root: Path, known: Sequence[Path]) -> list[Path]:
    """Of what was given before, the folders above a file; none above a folder, which is a root anyway."""
    return [] if root.is_dir() else [other for other in known if other in root.parents]


def _walk(
    root: Path, options: IndexOptions, walked: WalkedNames
) -> tuple[list[VideoFile], list[FoundProblem], list[LeftOut]]:
    found: list[VideoFile] = []
    problems: list[FoundProblem] = []
    left_out: list[LeftOut] = []
    if not os.path.lexists(root):  # a known root that is offline
        return found, problems, left_out
    hidden = options.include_hidden
    for item in find_videos(root, exclude=options.exclude, include_hidden=hidden, walked=walked):
        match item:
            case VideoFile():
                found.append(item)
            case FoundProblem():
                problems.append(item)
            case LeftOut():
                left_out.append(item)
    return found, problems, left_out


def _commit(
    events: Iterator[EmbedEvent], library: Library, fingerprints: Mapping[Path, str]
) -> Iterator[Progress | VideoIndexed | VideoFailed]:
    """Each video is written as it comes, in one transaction; progress is passed on."""
    for event in events:
        match event:
            case IndexedVideo(file=file, facts=facts, windows=windows):
                library.record_indexed(event)
                yield VideoIndexed(file, facts, len(windows), event.still_windows)
            case DecodeFailed(file, error):
                recorded = looks_like_video(file.path) or error.kind not in _NO_VIDEOS
                if recorded:
                    library.record_failed(file, error, fingerprint=fingerprints.get(file.path))
                else:
                    library.remove(file.path)
                yield VideoFailed(file.path, error.kind, str(error), recorded)
            case VideoStarted() | WindowEmbedded() | RuntimeChosen():
                yield event
