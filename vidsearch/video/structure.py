"""What the bytes of a container promise, without a demuxer: where it ends, and whether its index is there."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC


def is_mp4_without_index(path: Path) -> bool:
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


def promised_end(path: Path) -> int | None:
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
