"""Which container a clip goes into: its source's own, where that holds all of its streams, else Matroska."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Stream


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of file that clips are written as: FFmpeg's name for it, and the suffix of its files."""

    muxer: str
    suffix: str


MP4 = Container("mp4", ".mp4")
MOV = Container("mov", ".mov")
MATROSKA = Container("matroska", ".mkv")
_OWN = {  # by the demuxer that reads the source
    "avi": (Container("avi", ".avi"),),
    "mpegts": (Container("mpegts", ".ts"),),
    "flv": (Container("flv", ".flv"),),
    "ogg": (Container("ogg", ".ogv"),),
    "asf": (Container("asf", ".wmv"),),
    "gif": (Container("gif", ".gif"),),
}
_3GP = Container("3gp", ".3gp")
_WEBM = Container("webm", ".webm")


def containers_of(source: Path, demuxer: str) -> tuple[Container, ...]:
    """Those that a copied clip may go into, the one most like its source first."""
    kind, suffix = demuxer.split(",")[0], source.suffix.lower()
    if kind == "mov":
        own: tuple[Container, ...] = {".mov": (MOV,), ".qt": (MOV,), ".3gp": (_3GP, MP4, MOV)}.get(suffix, (MP4, MOV))
    elif kind == "matroska":
        own = (_WEBM,) if suffix == ".webm" else ()
    else:
        own = _OWN.get(kind, ())
    return (*own, MATROSKA)


def _known_by_its_tag(stream: Stream) -> bool:
    """Whether the tag of an AVI says which pixels these are: PyAV does not copy it."""
    return stream.codec_context.name in ("rawvideo", "v410") and stream.codec_context.codec_tag.strip("\0") != ""


def first_that_holds(streams: Sequence[Stream], candidates: Sequence[Container]) -> Container:
    """The first container that takes all the streams; the last one is taken as it is."""
    return next((container for container in candidates[:-1] if all(_holds(container, streams))), candidates[-1])


def held_by(container: Container, streams: Sequence[Stream]) -> list[Stream]:
    """Those of the streams that the container takes."""
    return [stream for stream, held in zip(streams, _holds(container, streams), strict=True) if held]


def _holds(container: Container, streams: Sequence[Stream]) -> list[bool]:
    """Asks the muxer itself, stream by stream; nothing is written."""
    held = []
    for stream in streams:
        if container.muxer == "avi" and _known_by_its_tag(stream):
            held.append(False)
            continue
        with av.open(io.BytesIO(), "w", format=container.muxer) as trial:
            try:
                trial.add_stream_from_template(stream, opaque=True)
                held.append(True)
            except (ValueError, av.FFmpegError):
                held.append(False)
    return held
