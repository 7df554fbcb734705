"""What the boxes of an ISO base media file (MP4, MOV, 3GP) state, read without a demuxer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_VISUAL_ENTRY_BYTES = 78  # fields of a visual sample entry before the boxes in it (section 12.1.3)
# A file of nothing but empty boxes must not be walked for hours.
_MOST_BOXES, _MOST_TRACKS = 100_000, 100


def is_mp4_without_index(path: Path) -> bool:
    """Whether the file begins as an MP4 and has no `moov` box on its top level."""
    with path.open("rb") as file:
        boxes = [name for name, _, _ in _boxes(file, 0, path.stat().st_size)]
    return bool(boxes) and boxes[0] in {b"ftyp", b"wide", b"mdat", b"free", b"skip"} and b"moov" not in boxes


@dataclass(frozen=True, slots=True)
class Track:
    """One track of an ISO base media file: its kind, the lengths that its two headers state, and whether it is coded.

    None for a length that is not there, unknown, or 0 (a fragmented file, whose header came before its pictures).
    """

    number: int
    kind: bytes  # b"vide", b"soun", …
    shown_s: float | None  # track header, in the movie's time scale (`tkhd`, ISO/IEC 14496-12, section 8.3.2)
    media_s: float | None  # media header, in the track's own (`mdhd`, section 8.4.2)
    encrypted: bool  # protected sample entries, whatever the scheme (ISO/IEC 23001-7; section 8.12)


@dataclass(frozen=True, slots=True)
class Movie:
    """The index of an ISO base media file (`moov`); `length_s` is its header's (`mvhd`, section 8.2.2)."""

    length_s: float | None
    tracks: tuple[Track, ...]
    fragmented: bool = False  # its pictures are listed elsewhere, in fragments (`mvex`, section 8.8.1)

    @property
    def longest_s(self) -> float:
        """Of its longest track; 0 if none states a length."""
        return max((track.shown_s or track.media_s or 0.0 for track in self.tracks), default=0.0)


def movie(path: Path) -> Movie | None:
    """None for a file without an index."""
    with path.open("rb") as file:
        for name, start, end in _boxes(file, 0, path.stat().st_size):
            if name == b"moov":
                return _movie(file, start, end)
    return None


def _movie(file: BinaryIO, start: int, end: int) -> Movie:
    length_s, scale, fragmented = None, 0, False
    tracks: list[Track] = []
    for name, inner_start, inner_end in _boxes(file, start, end):
        if name == b"mvhd":
            scale, length_s = _header_length(_content(file, inner_start))
        elif name == b"trak" and len(tracks) < _MOST_TRACKS:
            tracks.append(_track(file, inner_start, inner_end, scale))
        fragmented = fragmented or name == b"mvex"
    return Movie(length_s, tuple(tracks), fragmented)


def _track(file: BinaryIO, start: int, end: int, scale: int) -> Track:
    """`scale` is the movie's; its header comes first."""
    number, shown_s, media_s, kind, encrypted = 0, None, None, b"", False
    for path, inner_start, inner_end in _inside(file, start, end, {b"mdia", b"minf", b"stbl"}):
        if path == b"tkhd":
            number, shown_s = _track_header(_content(file, inner_start), scale)
        elif path == b"mdhd":
            media_s = _header_length(_content(file, inner_start))[1]
        elif path == b"hdlr" and not kind:
            kind = _content(file, inner_start)[8:12]
        elif path == b"stsd":
            encrypted = encrypted or _is_protected(file, inner_start + 8, inner_end)
    return Track(number, kind, shown_s, media_s, encrypted)


def _header_length(content: bytes) -> tuple[int, float | None]:
    """(time scale, length in seconds) of an `mvhd` or `mdhd`."""
    wide = content[:1] == b"\x01"  # version 1 has times of 64 bits
    layout = struct.Struct(">4x8x8xIQ" if wide else ">4x4x4xII")
    if len(content) < layout.size:
        return 0, None
    scale, ticks = layout.unpack_from(content)
    return scale, _length_s(ticks, scale, wide)


def _track_header(content: bytes, scale: int) -> tuple[int, float | None]:
    """(number, length in seconds) of a `tkhd`."""
    wide = content[:1] == b"\x01"
    layout = struct.Struct(">4x8x8xI4xQ" if wide else ">4x4x4xI4xI")
    if len(content) < layout.size:
        return 0, None
    number, ticks = layout.unpack_from(content)
    return number, _length_s(ticks, scale, wide)


def _length_s(ticks: int, scale: int, wide: bool) -> float | None:
    unknown = (1 << (64 if wide else 32)) - 1
    return ticks / scale if scale and ticks not in (0, unknown) else None


def _is_protected(file: BinaryIO, start: int, end: int) -> bool:
    """Whether a sample description names a protected entry (`encv`) or holds protection information (`sinf`)."""
    for name, inner_start, inner_end in _boxes(file, start, end):
        if name == b"encv":
            return True
        if any(inner == b"sinf" for inner, _, _ in _boxes(file, inner_start + _VISUAL_ENTRY_BYTES, inner_end)):
            return True
    return False


def _inside(file: BinaryIO, start: int, end: int, opened: set[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places and those in the boxes named `opened`, at any depth."""
    waiting = [(start, end)]
    while waiting:
        for name, inner_start, inner_end in _boxes(file, *waiting.pop()):
            if name in opened:
                waiting.append((inner_start, inner_end))
            else:
                yield name, inner_start, inner_end


def _content(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.read(64)


def _boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start of the content and end of each box between two places (ISO/IEC 14496-12, section 4.2)."""
    for _ in range(_MOST_BOXES):
        if position + 8 > end:
            return
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        content = position + 8
        if size == 1:
            wide = file.read(8)
            size = int.from_bytes(wide, "big") if len(wide) == 8 else 0
            content += 8
        if size == 0:
            size = end - position
        if size < 8 or not name.isalnum():
            return
        yield name, content, min(position + size, end)
        position += size
