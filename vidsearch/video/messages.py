"""How a file and the system's refusals are named in messages."""

from __future__ import annotations

import os
from pathlib import Path

from vidsearch.errors import VideoError


def shown(path: Path) -> str:
    """The path as text that any encoder takes: bytes that are not UTF-8 become `?`."""
    return str(path).encode("utf-8", "replace").decode("utf-8")


def printable(text: str) -> str:
    """Other programs' words for a log: what a terminal would obey (C0, C1, escapes) is shown as `\\x1b`."""
    return "".join(
        char if char == "\n" or char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def not_there(path: Path) -> str:
    """The sentence about a video that the library knows and the system does not find."""
    return f"{shown(path)} is not there now; plug its disk in, or index where it is now."


def os_refusal(path: Path, error: OSError) -> VideoError:
    """The VideoError that says why the system gave no bytes of `path`."""
    if isinstance(error, FileNotFoundError):
        return VideoError("vanished", not_there(path))
    reason = os.strerror(error.errno) if error.errno else str(error)
    return VideoError("unreadable", f"{shown(path)} cannot be read ({reason.lower()}); check its permissions and disk.")
