"""What the elements of a Matroska or WebM file state (RFC 8794, RFC 9559), read without a demuxer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SEGMENT, _CLUSTER, _TRACKS, _TRACK = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
_TRACK_TYPE, _VIDEO = 0x83, 1
_ENCODINGS, _ENCODING, _ENCRYPTION = 0x6D80, 0x6240, 0x5035
_MAGIC = b"\x1a\x45\xdf\xa3"
_HEAD_BYTES = 12  # an identifier of at most 4 bytes and a size of at most 8
_MOST_ELEMENTS, _MOST_TRACKS_BYTES = 1000, 8 << 20


def is_matroska(head: bytes) -> bool:
    """By the first bytes of a file."""
    return head.startswith(_MAGIC)


def segment_end(head: bytes) -> int | None:
    """Where the segment says that it ends, in bytes from the start of the file; None if it does not."""
    size, position = element_size(head, 4)
    position += size or 0
    if head[position : position + 4] != _SEGMENT.to_bytes(4, "big"):
        return None
    size, position = element_size(head, position + 4)
    return None if size is None else position + size


def has_encrypted_video(path: Path) -> bool:
    """Whether a video track's content is encrypted (ContentEncryption, RFC 9559, section 5.1.4.1.31.8)."""
    with path.open("rb") as file:
        if not is_matroska(file.read(4)):
            return False
        return any(_is_encrypted_video(track) for track in _children(_tracks(file), _TRACK))


def _tracks(file: BinaryIO) -> bytes:
    """The content of the Tracks element, which stands before the first cluster; empty if it is not found there."""
    position, end = 0, file.seek(0, os.SEEK_END)
    for _ in range(_MOST_ELEMENTS):
        if position >= end:  # a size may state anything
            return b""
        file.seek(position)
        head = file.read(_HEAD_BYTES)
        found = _element(head, 0)
        if found is None:
            return b""
        identifier, size, start = found
        if identifier == _TRACKS and size is not None:
            file.seek(position + start)
            return file.read(min(size, _MOST_TRACKS_BYTES))
        if identifier == _CLUSTER or (size is None and identifier != _SEGMENT):
            return b""
        position += start if identifier == _SEGMENT else start + (size or 0)
    return b""


def _is_encrypted_video(track: bytes) -> bool:
    kinds = [int.from_bytes(content, "big") for content in _children(track, _TRACK_TYPE)]
    return _VIDEO in kinds and any(
        True
        for encodings in _children(track, _ENCODINGS)
        for encoding in _children(encodings, _ENCODING)
        for _ in _children(encoding, _ENCRYPTION)
    )


def _children(content: bytes, wanted: int) -> Iterator[bytes]:
    """The contents of the elements of one kind on the top level of `content`."""
    position = 0
    while (found := _element(content, position)) is not None:
        identifier, size, start = found
        if size is None:
            return
        if identifier == wanted:
            yield content[start : start + size]
        position = start + size


def _element(data: bytes, position: int) -> tuple[int, int | None, int] | None:
    """(identifier, size, position of the content) of the element that begins at `position`; None if none does."""
    if position >= len(data) or data[position] < 0x10:  # an identifier has at most 4 bytes
        return None
    length = 9 - data[position].bit_length()
    identifier = int.from_bytes(data[position : position + length], "big")
    if position + length >= len(data):
        return None
    size, start = element_size(data, position + length)
    return identifier, size, start


def element_size(data: bytes, position: int) -> tuple[int | None, int]:
    """An EBML size (RFC 8794, section 6) and the position behind it; None for the reserved "unknown"."""
    if position >= len(data) or data[position] == 0:
        return None, position
    length = 9 - data[position].bit_length()
    field = int.from_bytes(data[position : position + length], "big") & ((1 << 7 * length) - 1)
    return (None if field == (1 << 7 * length) - 1 else field), position + length
