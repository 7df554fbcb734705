"""What the bytes of a container promise, without a demuxer: where it ends, and whether its index is there."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC


def is_mp4_without_index(path: Path) -> bool:
    """Whether the file begins as an MP4 and has no `moov` box on its top level."""
    with path.open("rb") as file:
        boxes = [name for name, _, _ in _boxes(file, 0, path.stat().st_size)]
    return bool(boxes) and boxes[0] in {b"ftyp", b"wide", b"mdat", b"free", b"skip"} and b"moov" not in boxes


def movie_length_s(path: Path) -> float | None:
    """The length that the movie header of an ISO base media file states (`mvhd`, ISO/IEC 14496-12, section 8.2.2).

    None if it is not there, unknown, or 0 (a fragmented file, whose header was written before its pictures).
    """
    with path.open("rb") as file:
        for name, start, end in _boxes(file, 0, path.stat().st_size):
            if name == b"moov":
                for inner, inner_start, _ in _boxes(file, start, end):
                    if inner == b"mvhd":
                        file.seek(inner_start)
                        return _movie_header_length(file.read(32))
    return None


def _movie_header_length(content: bytes) -> float | None:
    wide = content[:1] == b"\x01"  # version 1 has times of 64 bits
    layout = struct.Struct(">4x8x8xIQ" if wide else ">4x4x4xII")
    if len(content) < layout.size:
        return None
    scale, ticks = layout.unpack_from(content)
    unknown = (1 << (64 if wide else 32)) - 1
    return ticks / scale if scale and ticks not in (0, unknown) else None


def _boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and end of each box between two places (ISO/IEC 14496-12, section 4.2)."""
    while position + 8 <= end:
        file.seek(position)
        size, name = struct.unpack(">I4s", file.read(8))
        content = position + 8
        if size == 1:
            wide = file.read(8)
            size = int.from_bytes(wide, "big") if len(wide) == 8 else 0
            content += 8
        if size == 0:
            size = end - position
        if size < 8 or not name.isalnum():
            return
        yield name, content, position + size
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
