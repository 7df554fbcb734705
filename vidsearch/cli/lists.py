"""Lists of paths and of queries that other programs or people have written down."""

from __future__ import annotations

import codecs
import os
import sys
from pathlib import Path

from vidsearch.errors import VidsearchError

_LARGEST_BYTES = 1 << 28  # a million paths


def listed_paths(place: Path, *, null: bool = False) -> list[Path]:
    """The paths in a file, or on stdin for -: one a line, or each ended by a NUL byte, as `find -print0` writes them.

    `null`: NUL bytes it is, whatever is in there. A byte order mark before lines is no part of the first path. Bytes
    that are not UTF-8 stay. VidsearchError if it cannot be read.
    """
    data = _read(place)
    if null or b"\0" in data:
        names = data.split(b"\0")
    else:
        names = [line.rstrip(b"\r") for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n")]
    return [Path(os.fsdecode(name)) for name in names if name]


def listed_lines(place: Path) -> list[tuple[int, str]]:
    """The lines of a file that hold something, with their numbers; - is stdin. VidsearchError if it is not UTF-8."""
    try:
        text = _read(place).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VidsearchError(f"{place} is not UTF-8 text (byte {error.start}); write it in UTF-8.") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _read(place: Path) -> bytes:
    if str(place) == "-":
        return sys.stdin.buffer.read(_LARGEST_BYTES)
    try:
        with place.expanduser().open("rb") as file:
            return file.read(_LARGEST_BYTES)
    except OSError as error:
        raise VidsearchError(f"The list {place} cannot be read ({error.strerror}).") from error
