"""The rule that chooses the reader: a table of doubts about decord, each with its reason.

decord is the reader of the common path. It refuses some files that FFmpeg reads, and for others its table of packets
is not the list of pictures that a player shows, so that it gives wrong pictures without a word. Each doubt below names
such a case; if one holds, PyAV reads the file.

PyAV was preferred to torchcodec as the second reader: discovering and decoding must not load torch (torchcodec does, a
second per worker); its wheels carry their own FFmpeg, with an AV1 decoder, for every platform that vidsearch runs on;
and it hands out packets: the edit list's marks, the key frames and the damage flags, on which exact times and honest
reports rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from vidsearch.video.header import TRUSTED_CONTAINERS, Header
from vidsearch.video.timeline import hole_s


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to trust decord with a file."""

    name: str
    reason: str
    holds: Callable[[Header], bool]


TRUSTED_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg", "prores", "dnxhd", "ffv1"})
SHORT_S = 2.0
SHORT_PACKETS = 24
MOST_UNLISTED = 1_000_000  # decord takes 24 bytes for each

# Measured on 170 files (docs/decoding.md); every line is the cause of a wrong picture, a refusal or an unnoticed loss.
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
    Doubt(
        "count",
        "decord makes room for as many pictures as an MP4 counts, however few its index lists",
        lambda header: header.counted_packets > header.index_packets + MOST_UNLISTED,
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
    Doubt(
        "overstated",
        "the header claims a length that no track has, which PyAV reports",
        lambda header: header.stated.overstated_s is not None,
    ),
    Doubt(
        "4:4:4",
        "decord starts in the middle, where its FFmpeg has not learned which x264 wrote the file; pictures in 4:4:4 of"
        " those before 2018 come out grey or green then",
        lambda header: header.codec == "h264" and header.full_colour,
    ),
    Doubt("mirrored", "decord turns pictures and mirrors none", lambda header: header.orientation.mirrored),
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
    stated_s = header.stated.movie_s if header.container == "mov" else header.claimed_s
    if stated_s is None:
        return False
    return bool(abs(table.ends_s[-1] + header.start_s - stated_s) > max(1.0, 0.02 * stated_s))


def _jumps(_: Header, table: Timetable) -> bool:
    """The length of the last picture counts as a step."""
    return hole_s(np.append(table.starts_s, table.ends_s[-1])) is not None


TIMETABLE_DOUBTS = (
    TimetableDoubt("empty", "decord found no picture", lambda _, table: len(table.starts_s) == 0),
    TimetableDoubt("order", "decord's times do not rise", lambda _, table: _out_of_order(table)),
    TimetableDoubt(
        "count",
        "decord counts other pictures than the container's index lists",
        lambda header, table: header.container == "mov" and len(table.starts_s) != header.index_packets,
    ),
    TimetableDoubt("hole", "packets are missing in the middle, and decord fills in neighbours", _has_hole),
    TimetableDoubt(
        "jump",
        "a step is too long to be trusted",
        _jumps,
    ),
    TimetableDoubt("end", "decord's end is not the file's", _misses_its_end),
)


def timetable_doubts(header: Header, table: Timetable) -> list[TimetableDoubt]:
    """The reasons for leaving decord after it opened the file; the first one that holds ends the questions."""
    return list(islice((doubt for doubt in TIMETABLE_DOUBTS if doubt.holds(header, table)), 1))
