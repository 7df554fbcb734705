"""Hits → clips in a folder, one after the other, each whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av

from vidsearch.editing.containers import Container
from vidsearch.editing.copying import CutReport, container_for_copy, copy_clip
from vidsearch.editing.naming import clip_name
from vidsearch.editing.precise import container_for_encoding, encode_clip
from vidsearch.editing.process import CuttingProcess
from vidsearch.editing.source import Span, open_source
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.files import replacing
from vidsearch.records import Hit
from vidsearch.video.messages import shown

CutMode = Literal["copy", "precise"]
Order = Literal["rank", "time"]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class CutOptions:
    """How clips are cut: packets copied from the key frame before or encoded to the frame, and how much around."""

    mode: CutMode = "copy"
    pad_s: float = 0.0
    sound: bool = True
    order: Order = "rank"
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A hit, the part of its file that is wanted, and where the clip goes."""

    hit: Hit
    span: Span
    target: Path
    container: Container


@dataclass(frozen=True, slots=True)
class Cutting:
    """So many seconds of a clip are done."""

    clip: PlannedClip
    done_s: float


@dataclass(frozen=True, slots=True)
class ClipWritten:
    """A clip is on the disk, whole. `lead_s`: seconds more at its beginning than were wanted."""

    clip: PlannedClip
    report: CutReport

    @property
    def lead_s(self) -> float:
        return max(0.0, self.clip.span.start_s - self.report.span.start_s)


ExportOutcome = Cutting | ClipWritten


def plan_clips(hits: Sequence[Hit], folder: Path, options: CutOptions) -> list[PlannedClip]:
    """Where each clip goes. Nothing is written; every source is opened.

    Raises VideoError for a source that cannot be read, VidsearchError if a file is in the way.
    """
    in_order = ordered(hits, options.order)
    sources = list(dict.fromkeys(hit.path for hit in in_order))
    containers: dict[Path, Container] = {}
    with CuttingProcess.over(sources) as process:
        for path in sources:
            [containers[path]] = process.run(shown(path), container_of_clips, path, options)
    clips = []
    for position, hit in enumerate(in_order, start=1):
        container = containers[hit.path]
        span = Span.around(hit, options.pad_s)
        name = clip_name(position, len(in_order), hit.path, span.start_s, span.end_s, container.suffix)
        clips.append(PlannedClip(hit, span, folder / name, container))
    check_targets([clip.target for clip in clips], [hit.path for hit in hits], overwrite=options.overwrite)
    return clips


def container_of_clips(path: Path, options: CutOptions) -> Iterator[Container]:
    """The container that clips of a source go into, alone: work for a process."""
    with open_source(path, sound=options.sound) as source:
        yield container_for_copy(source) if options.mode == "copy" else container_for_encoding(source)


def ordered(hits: Sequence[Hit], order: Order) -> list[Hit]:
    """As they are ranked, or by video and time."""
    return list(hits) if order == "rank" else sorted(hits, key=lambda hit: (str(hit.path), hit.start_s))


def check_targets(targets: Sequence[Path], sources: Sequence[Path], *, overwrite: bool) -> None:
    """VidsearchError if a file is there already, or if one is a source: that is never written, whatever was asked."""
    there = [target for target in targets if target.exists()]
    for target in there:
        if any(target.samefile(source) for source in sources if source.exists()):
            raise VidsearchError(f"{shown(target)} is a video that is cut; choose another place.")
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise VidsearchError(
            f"{shown(there[0])}{more} would be overwritten; choose another place, or allow it with --force."
        )


def export_clips(clips: Sequence[PlannedClip], options: CutOptions) -> Iterator[ExportOutcome]:
    """Cuts the clips in their order, in a process of its own.

    Raises VideoError if a source vanished, gives out, or brings that process down or to a stop, VidsearchError if a
    clip cannot be written; the clips before it stay, and nothing is left of the one at hand.
    """
    sources = [clip.hit.path for clip in clips]
    with CuttingProcess.over(sources, encodes=options.mode == "precise") as process:
        for done, clip in enumerate(clips):
            finished = f"; {done} of {len(clips)} clips are finished" if done else ""
            with writing(clip.target, finished) as partial:
                for outcome in process.run(shown(clip.hit.path), cut_clip, clip, partial, options, finished):
                    if isinstance(outcome, CutReport):
                        report = outcome
                    else:
                        yield Cutting(clip, outcome)
            yield ClipWritten(clip, report)


def cut_clip(clip: PlannedClip, partial: Path, options: CutOptions, finished: str) -> Iterator[float | CutReport]:
    """The seconds that are done of a clip, and at last its report: work for a process."""
    with explained(clip.target, finished), open_source(clip.hit.path, sound=options.sound) as source:
        cut = copy_clip if options.mode == "copy" else encode_clip
        yield from cut(source, clip.span, partial, clip.container)


@contextmanager
def writing(target: Path, finished: str = "") -> Iterator[Path]:
    """A file beside `target` to write to, which takes its place if the block ends well; else nothing is left of it.

    Errors as of `explained`.
    """
    with explained(target, finished):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            yield partial


@contextmanager
def explained(target: Path, finished: str = "") -> Iterator[None]:
    """What the system or FFmpeg refuses is a VidsearchError of one sentence, which ends with `finished`."""
    try:
        yield
    except MemoryError:
        raise
    except OSError as error:
        if isinstance(error, av.FFmpegError) and error.errno not in _NO_ROOM:
            raise _not_muxed(target, finished) from error
        why = "the disk is full" if error.errno in _NO_ROOM else (error.strerror or str(error)).lower()
        raise VidsearchError(f"{shown(target)} cannot be written ({why}){finished}.") from error
    except av.FFmpegError as error:
        raise _not_muxed(target, finished) from error


def _not_muxed(target: Path, finished: str) -> VideoError:
    return VideoError(
        "corrupt",
        f"{shown(target)} cannot be written: its source is damaged, or coded in a way that this kind of file does not "
        f"take; cut it with --precise, or leave it out{finished}.",
    )
