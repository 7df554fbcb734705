"""Every error a user can meet, with its exit code.

A message says what happened, to which file, and what to do next, in one sentence. If there are several ways on, the
sentence says what is wrong and `ways` lists them. Anything that is not a VidsearchError is a bug and stays a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

VideoErrorKind = Literal[
    "unreadable",  # the operating system refuses: permissions, input/output error
    "not-a-file",  # a pipe, socket, device or folder where a video was expected
    "empty-file",
    "not-a-video",  # no demuxer recognises the bytes, or they are a picture
    "no-video-stream",  # sound only, or a cover picture
    "no-frames",  # a video track without any sample
    "unsupported-codec",
    "encrypted",
    "truncated",  # the end of the file, or its index, is missing
    "corrupt",  # damaged data that leaves no usable frame
    "vanished",  # the file was there when the folder was walked and is gone
    "changing",  # size or time changed while it was read: still being written
    "timeout",  # decoding took longer than its limit; the worker was replaced
    "memory",  # decoding needs more memory than its limit
    "crashed",  # the decoder took its process down; the worker was replaced
]
VIDEO_ERROR_KINDS: tuple[str, ...] = get_args(VideoErrorKind)


EXIT_NOTHING_FOUND = 1  # as grep has it
EXIT_WRONG_USAGE = 2
EXIT_SOME_FAILED = 3  # of several videos; the others are done
EXIT_LIBRARY = 4
EXIT_MODEL = 5  # one is missing or unsound, or cannot run here
EXIT_INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT, as shells have it


class VidsearchError(Exception):
    """A mistake or a state that the user can act on: wrong usage unless a subclass says otherwise.

    `ways` are what can be done next, a short line each, the quickest first; the program shows them as a list.
    """

    exit_code = EXIT_WRONG_USAGE

    def __init__(self, message: str, *, ways: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ways = tuple(ways)


class VideoError(VidsearchError):
    """One video cannot be read. `kind` is stored with the file; `str(error)` is the sentence shown."""

    exit_code = EXIT_SOME_FAILED

    def __init__(self, kind: VideoErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: VideoErrorKind = kind

    def __reduce__(self) -> tuple[type[VideoError], tuple[VideoErrorKind, str]]:
        return type(self), (self.kind, str(self))  # crosses the pipe from a decoding process


class LibraryError(VidsearchError):
    """The library on disk cannot be opened, is newer than the program, is locked or damaged."""

    exit_code = EXIT_LIBRARY


class ModelError(VidsearchError):
    """Weights are missing, are of another model, or are damaged."""

    exit_code = EXIT_MODEL


__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_LIBRARY",
    "EXIT_MODEL",
    "EXIT_NOTHING_FOUND",
    "EXIT_SOME_FAILED",
    "EXIT_WRONG_USAGE",
    "VIDEO_ERROR_KINDS",
    "LibraryError",
    "ModelError",
    "VideoError",
    "VideoErrorKind",
    "VidsearchError",
]
