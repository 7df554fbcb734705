"""Messages between the pool and a decoding process: a pickled record, then the raw pixels of a window.

Both ends are this program on one machine, so that pickle is safe here. A window of 8 frames at 256 px is 1.5 MB and
crosses the pipe in about a millisecond, a hundredth of what decoding it costs; shared memory would save nothing.
"""

from __future__ import annotations

import pickle
import select
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VideoError
from vidsearch.records import ClipWindow, VideoFacts, VideoFile

_SIZES = struct.Struct("<II")  # bytes of the record, bytes of the pixels
_LOOK_EVERY_S = 0.1  # while nobody takes a message


# Chooses the windows of one video from its facts and the (N,) times at which its frames begin. It crosses the pipe by
# its name and its arguments, so it is a function of a module, or a partial of one; a VideoError from it is the answer.
Cut = Callable[[VideoFacts, NDArray[np.float64]], Sequence[ClipWindow]]


@dataclass(frozen=True, slots=True)
class Job:
    """A file to decode, and what to take from it; None: the windows that the worker was started for."""

    file: VideoFile
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    facts: VideoFacts
    windows: int


@dataclass(frozen=True, slots=True)
class Done:
    facts: VideoFacts
    fingerprint: str | None  # of the content that was decoded; None if the job chose its own windows


@dataclass(frozen=True, slots=True)
class Failed:
    error: VideoError


def send(
    pipe: IO[bytes],
    record: object,
    frames: NDArray[np.uint8] | None = None,
    while_waiting: Callable[[], None] | None = None,
) -> None:
    """One message. Raises BrokenPipeError if the other end is gone.

    `while_waiting` is called now and then while a pipe that does not block is full.
    """
    shape = None if frames is None else frames.shape
    head = pickle.dumps((record, shape), protocol=pickle.HIGHEST_PROTOCOL)
    pixels = memoryview(b"") if frames is None else np.ascontiguousarray(frames).data.cast("B")
    _write(pipe, memoryview(_SIZES.pack(len(head), len(pixels)) + head), while_waiting)
    _write(pipe, pixels, while_waiting)


def receive(pipe: IO[bytes]) -> tuple[Any, NDArray[np.uint8] | None] | None:
    """The next message and its pixels; None if the other end is gone, in the middle of a message or not."""
    sizes = _read(pipe, _SIZES.size)
    if sizes is None:
        return None
    head_bytes, pixel_bytes = _SIZES.unpack(sizes)
    head = _read(pipe, head_bytes)
    if head is None:
        return None
    record, shape = pickle.loads(head)
    if shape is None:
        return record, None
    pixels = _read(pipe, pixel_bytes)
    return None if pixels is None else (record, np.frombuffer(pixels, dtype=np.uint8).reshape(shape))


def _write(pipe: IO[bytes], data: memoryview, while_waiting: Callable[[], None] | None) -> None:
    """All of it: a raw pipe may take a part at a time, or (None) nothing now."""
    while data:
        taken: int | None = pipe.write(data)
        if taken is not None:
            data = data[taken:]
        elif not select.select([], [pipe], [], _LOOK_EVERY_S)[1] and while_waiting is not None:
            while_waiting()
    pipe.flush()


def _read(pipe: IO[bytes], count: int) -> bytearray | None:
    """Exactly `count` bytes; None if the pipe ends before."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        got = pipe.readinto(view)  # type: ignore[attr-defined]  # IO lacks it; pipes have it
        if not got:
            return None
        view = view[got:]
    return buffer
