"""What the first bytes of a container promise, read without a demuxer: where it ends, how long an AVI is."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC
from vidsearch.video.ebml import is_matroska, segment_end

_AVI_HEAD = struct.Struct("<4s4x4s12x4s4xI12xI")


def avi_length_s(path: Path) -> float | None:
    """What the main header of an AVI states apart from its streams' (`avih`: microseconds a frame × frames).

    None if it states none. A file of more than a gigabyte counts its first part alone (OpenDML).
    """
    with path.open("rb") as file:
        head = file.read(_AVI_HEAD.size)
    if len(head) < _AVI_HEAD.size:
        return None
    riff, kind, name, frame_us, frames = _AVI_HEAD.unpack(head)
    return frame_us * frames / 1e6 or None if (riff, kind, name) == (b"RIFF", b"AVI ", b"avih") else None


def promised_end(path: Path) -> int | None:
    """Where a Matroska segment, an AVI or a transport packet says that it ends, in bytes; None: nowhere."""
    with path.open("rb") as file:
        head = file.read(4096)
    for step in TS_PACKET_BYTES:
        if len(head) > 3 * step and all(byte == TS_SYNC for byte in head[::step]):
            return math.ceil(path.stat().st_size / step) * step
    if head[:4] == b"RIFF" and len(head) >= 8:
        return 8 + int.from_bytes(head[4:8], "little")
    return segment_end(head) if is_matroska(head) else None
