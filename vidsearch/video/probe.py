"""What a container's header says, and the rule that chooses the reader: a table of doubts, each with its reason.

decord is the reader of the common path. It refuses some files that FFmpeg reads, and for others its table of packets
is not the list of pictures that a player shows, so that it gives wrong pictures without a word. Each doubt below names
such a case; where one holds, PyAV reads the file. PyAV was preferred to torchcodec as the second reader because
discovering and decoding must not load torch (torchcodec does, a second per worker), because its wheels carry their own
FFmpeg with an AV1 decoder and cover the platforms and Python versions that torchcodec lacks, and because it hands out
packets: the edit list's marks, the key frames and the damage flags, on which exact times and honest reports rest.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import av.container
import av.logging
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vidsearch.errors import VideoError
from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC
from vidsearch.video.wording import os_refusal, shown

# One line per damaged macroblock would bury everything else; damage is reported once, in VideoFacts.damage.
av.logging.set_level(None)

# Formats that are lists of other files, or pictures: read as a "video" they would leave the file, or be one still.
_PICTURE_FORMATS = ("_pipe", "image2", "ico", "tty", "sbg")
_PLAYLIST_FORMATS = frozenset({"hls", "concat", "dash", "applehttp", "sdp", "rtsp", "webm_dash_manifest", "imf"})
_KEY_FRAMES_CHECKED = 5
_PACKETS_AFTER_KEY = 8
# Codecs that put pictures out of order; for others a look at the key frames tells nothing.
_REORDERING_CODECS = frozenset({"h264", "hevc", "mpeg4"})
_PACKETS_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Header:
    """What opening a file and decoding one picture tell. Times in seconds; sizes of the stored picture."""

    container: str
    codec: str
    width_px: int
    height_px: int
    pixel_aspect: float  # width : height of one stored pixel
    rotation_deg: int  # clockwise, to show the stored picture upright
    interlaced: bool
    starts_clean: bool  # a picture comes out of the first packets
    start_s: float  # of the video stream
    claimed_s: float | None  # the header's duration, not to be believed
    index_packets: int  # that the index of an MP4 lists; 0 for other containers
    hidden_packets: int  # entries that an edit list hides
    fragmented: bool
    video_streams: int
    false_key_frames: bool  # the index calls packets key frames that are none
    leading_pictures: bool  # pictures shown before the key frame that they follow in the file ("open" groups)
    ends_early: bool  # the structure promises more bytes than the file has
    unfinished: bool  # the writer never came back to fill in the length
    utf8_name: bool


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust decord with a file."""

    name: str
    reason: str
    holds: Callable[[Header], bool]


TRUSTED_CONTAINERS = frozenset({"mov", "matroska"})
TRUSTED_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg", "prores", "dnxhd", "ffv1"})
SHORT_S = 2.0
SHORT_PACKETS = 24

# Measured on the 170 files of the shared manifest ("decord_findings"); every line is the cause of a wrong picture, a
# refusal or an unnoticed loss there.
DOUBTS = (
    Doubt(
        "container",
        "only MP4/MOV and Matroska/WebM give decord true times: AVI has none, TS, PS and ASF lose their first pictures,"
        " Ogg and GIF state no length",
        lambda header: header.container not in TRUSTED_CONTAINERS,
    ),
    Doubt("codec", "decord's FFmpeg has no AV1 decoder", lambda header: header.codec not in TRUSTED_CODECS),
    Doubt(
        "hidden packets",
        "an edit list hides packets, and decord counts them as pictures",
        lambda header: header.hidden_packets > 0,
    ),
    Doubt("fragmented", "decord's times in a fragmented MP4 are not the file's", lambda header: header.fragmented),
    Doubt(
        "several videos", "decord mixes the packets of several video tracks", lambda header: header.video_streams > 1
    ),
    Doubt(
        "no length",
        "decord refuses a container that states no duration",
        lambda header: header.claimed_s is None or header.unfinished,
    ),
    Doubt(
        "short",
        "decord's last pictures may be earlier ones, and in a short file most are last",
        lambda header: (header.claimed_s or 0.0) < SHORT_S or 0 < header.index_packets < SHORT_PACKETS,
    ),
    Doubt(
        "false key frames",
        "decord seeks to packets that are no key frames and shows what cannot be decoded",
        lambda header: header.false_key_frames,
    ),
    Doubt(
        "leading pictures",
        "decord counts key frames in the order of decoding, and near one shows the picture that many later",
        lambda header: header.leading_pictures,
    ),
    Doubt(
        "ends early", "decord refuses a file whose end is missing, or hides the loss", lambda header: header.ends_early
    ),
    Doubt(
        "start", "nothing comes out of the first packets: damaged, or encrypted", lambda header: not header.starts_clean
    ),
    Doubt("name", "decord opens names in UTF-8 alone", lambda header: not header.utf8_name),
)


def doubts(header: Header) -> list[Doubt]:
    """The reasons for reading this file with PyAV; none: decord may read it."""
    return [doubt for doubt in DOUBTS if doubt.holds(header)]


@dataclass(frozen=True, slots=True)
class Timetable:
    """What decord made of a file: start and end of each of its frames, in seconds from the first, (N,) each."""

    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimetableDoubt:
    """One reason not to trust decord after it has opened a file."""

    name: str
    reason: str
    holds: Callable[[Header, Timetable], bool]


_LOST_GAP = 4.0  # of the usual distance of two pictures; Matroska files of variable rate go to PyAV, too, unharmed


def _out_of_order(table: Timetable) -> bool:
    """Times that do not rise, are absurd, or do not start at zero."""
    starts = table.starts_s
    return bool(not np.isfinite(starts).all() or (np.diff(starts) <= 0).any() or abs(starts[0]) > 1e-3)


def _has_hole(header: Header, table: Timetable) -> bool:
    if header.container == "mov" or len(table.starts_s) < 3:
        return False
    steps = np.diff(table.starts_s)
    return bool(steps.max() > _LOST_GAP * np.median(steps))


def _misses_its_end(header: Header, table: Timetable) -> bool:
    """Matroska states the end of the whole file; a sound track may be longer, which PyAV reads as well."""
    if header.container == "mov" or header.claimed_s is None:
        return False
    return bool(abs(table.ends_s[-1] + header.start_s - header.claimed_s) > max(1.0, 0.02 * header.claimed_s))


TIMETABLE_DOUBTS = (
    TimetableDoubt("empty", "decord found no picture", lambda _, table: len(table.starts_s) == 0),
    TimetableDoubt("order", "decord's times do not rise", lambda _, table: _out_of_order(table)),
    TimetableDoubt(
        "count",
        "decord counts other pictures than the container's index lists",
        lambda header, table: header.container == "mov" and len(table.starts_s) != header.index_packets,
    ),
    TimetableDoubt("hole", "packets are missing in the middle, and decord fills in neighbours", _has_hole),
    TimetableDoubt("end", "decord's end is not the file's", _misses_its_end),
)


def timetable_doubts(header: Header, table: Timetable) -> list[TimetableDoubt]:
    """The reasons for leaving decord after it opened the file; the first one that holds ends the questions."""
    return list(islice((doubt for doubt in TIMETABLE_DOUBTS if doubt.holds(header, table)), 1))


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, VideoStream]]:
    """The container and the video stream that players take, silent and bounded to this one file.

    Raises VideoError where there is nothing to decode.
    """
    try:
        # Other protocols stay shut: a playlist named .mp4 must not make an offline program reach out.
        container = av.open(
            str(path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file,crypto,data"}
        )
    except av.FFmpegError as error:
        raise _not_opened(path, error) from error
    with container:
        yield container, _video_stream(path, container)


def look(path: Path) -> Header:
    """The header of one file. Raises VideoError where it holds no video that can be decoded."""
    with opened(path) as (container, stream):
        context = stream.codec_context
        kind = container.format.name.split(",")[0]
        entries = list(stream.index_entries) if kind == "mov" else []  # elsewhere it grows while reading
        size = path.stat().st_size
        end = max((entry.pos + entry.size for entry in entries), default=0) if kind == "mov" else _promised_end(path)
        pixel = stream.sample_aspect_ratio
        claimed_s = _claimed_duration(container, stream)
        first = _first_frame(container, stream)
        groups = _look_at_groups(container, stream, kind, claimed_s)
        return Header(
            container=kind,
            codec=context.codec.canonical_name,
            width_px=context.width,
            height_px=context.height,
            pixel_aspect=float(pixel) if pixel else 1.0,
            rotation_deg=-first.rotation % 360 if first is not None else 0,
            interlaced=first is not None and first.interlaced_frame,
            starts_clean=first is not None and not first.is_corrupt,
            start_s=_seconds(stream, stream.start_time) or 0.0,
            claimed_s=claimed_s,
            index_packets=len(entries),
            hidden_packets=sum(1 for entry in entries if entry.is_discard),
            fragmented=kind == "mov" and stream.frames == 0,
            video_streams=sum(1 for other in container.streams.video if not _is_cover(other)),
            false_key_frames=groups.false_key_frames,
            leading_pictures=groups.leading_pictures,
            ends_early=end is not None and end > size,
            unfinished=kind == "matroska" and end is None,
            utf8_name=_is_utf8(path),
        )


def _claimed_duration(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None:
        return _seconds(stream, stream.duration)
    return container.duration / av.time_base if container.duration is not None else None


def _seconds(stream: VideoStream, ticks: int | None) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)


def _video_stream(path: Path, container: av.container.InputContainer) -> VideoStream:
    kind = container.format.name
    if kind in _PLAYLIST_FORMATS or any(mark in kind for mark in _PICTURE_FORMATS):
        what = "a list of other files" if kind in _PLAYLIST_FORMATS else "a picture"
        raise VideoError("not-a-video", f"{shown(path)} is {what}, not a video; leave it out with --exclude.")
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise VideoError("no-video-stream", f"{shown(path)} holds no video, only sound or a cover picture.")
    best = container.streams.best("video")  # FFmpeg's choice, and decord's
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise VideoError(
            "unsupported-codec", f"{shown(path)} is coded in a way that no decoder here reads; convert it to H.264."
        )
    return stream


def _first_frame(container: av.container.InputContainer, stream: VideoStream) -> VideoFrame | None:
    """The first picture that comes out of the first packets, decoded by one thread."""
    stream.codec_context.thread_count = 1
    try:
        for packet in islice(container.demux(stream), _PACKETS_LOOKED_AT):
            for frame in packet.decode():
                return frame
    except av.FFmpegError:
        return None
    return None


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def _not_opened(path: Path, error: av.FFmpegError) -> VideoError:
    """Why no demuxer took the file, as the user should hear it."""
    if isinstance(error, OSError) and not isinstance(error, av.InvalidDataError):
        return os_refusal(path, error)
    if path.stat().st_size == 0:
        return VideoError("empty-file", f"{shown(path)} is empty; copy or record it again.")
    if _is_mp4_without_index(path):
        return VideoError(
            "truncated",
            f"{shown(path)} has lost its end, where an MP4 keeps its index; copy it again or repair it.",
        )
    return VideoError("not-a-video", f"{shown(path)} is not a video: no format fits its content.")


def _is_mp4_without_index(path: Path) -> bool:
    """Whether the file begins as an MP4 and has no `moov` box on its top level."""
    boxes = [name for name, _ in _boxes(path)]
    return bool(boxes) and boxes[0] in {b"ftyp", b"wide", b"mdat", b"free", b"skip"} and b"moov" not in boxes


def _boxes(path: Path) -> Iterator[tuple[bytes, int]]:
    """Name and end of each top-level box of an ISO base media file (ISO/IEC 14496-12, section 4.2)."""
    size_of_file = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size_of_file:
            file.seek(position)
            size, name = struct.unpack(">I4s", file.read(8))
            if size == 1:
                wide = file.read(8)
                size = int.from_bytes(wide, "big") if len(wide) == 8 else 0
            if size == 0:
                size = size_of_file - position
            if size < 8 or not name.isalnum():
                return
            yield name, position + size
            position += size


def _promised_end(path: Path) -> int | None:
    """Where a Matroska segment, an AVI or a transport packet says that it ends, in bytes; None: nowhere."""
    with path.open("rb") as file:
        head = file.read(4096)
    for step in TS_PACKET_BYTES:
        if len(head) > 3 * step and all(byte == TS_SYNC for byte in head[::step]):
            return math.ceil(path.stat().st_size / step) * step
    if head[:4] == b"RIFF" and len(head) >= 8:
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    position = 4
    size, position = _element_size(head, position)
    position += size or 0
    if head[position : position + 4] != b"\x18\x53\x80\x67":  # Segment
        return None
    size, position = _element_size(head, position + 4)
    return None if size is None else position + size


def _element_size(data: bytes, position: int) -> tuple[int | None, int]:
    """An EBML size (RFC 8794, section 6) and the position behind it; None for the reserved "unknown"."""
    if position >= len(data) or data[position] == 0:
        return None, position
    length = 9 - data[position].bit_length()
    field = int.from_bytes(data[position : position + length], "big") & ((1 << 7 * length) - 1)
    return (None if field == (1 << 7 * length) - 1 else field), position + length


@dataclass(frozen=True, slots=True)
class _Groups:
    """What a few groups of pictures, from their key frame on, look like."""

    false_key_frames: bool = False
    leading_pictures: bool = False


def _look_at_groups(
    container: av.container.InputContainer, stream: VideoStream, kind: str, claimed_s: float | None
) -> _Groups:
    """Seek to a few key frames and look at the packets there; containers that decord never gets are not asked."""
    if kind not in TRUSTED_CONTAINERS or stream.codec_context.codec.canonical_name not in _REORDERING_CODECS:
        return _Groups()
    lies = leading = False
    for time in _places(stream, kind, claimed_s):
        try:
            container.seek(time, stream=stream)
            packets = [each for each in islice(container.demux(stream), _PACKETS_AFTER_KEY) if each.size]
        except av.FFmpegError:
            break  # damage, not a lie: the reader meets it again and reports it
        if packets:
            key = packets[0]
            lies |= kind == "mov" and not key.is_keyframe
            leading |= any(each.pts is not None and key.pts is not None and each.pts < key.pts for each in packets)
    return _Groups(lies, leading)


def _places(stream: VideoStream, kind: str, claimed_s: float | None) -> list[int]:
    """Ticks to seek to: key frames of the index, spread; without an index at the front, places spread over the time."""
    if kind == "mov":
        later = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe][1:]
        return later[:: max(1, len(later) // _KEY_FRAMES_CHECKED)][:_KEY_FRAMES_CHECKED]
    if claimed_s is None or stream.time_base is None:
        return []
    parts = range(1, _KEY_FRAMES_CHECKED + 1)
    return [int(claimed_s * part / (_KEY_FRAMES_CHECKED + 1) / stream.time_base) for part in parts]


def _is_utf8(path: Path) -> bool:
    try:
        str(path.absolute()).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
