"""The reader of the common path: decord, opened with the width and height of the wanted picture.

decord's `get_batch` seeks to the key frame before a wanted frame and decodes from there, scaling (bilinear) in the
decoder's filter graph. Its last frames may silently be earlier ones, a damaged packet ends its reading, and a damaged
picture is a line of its FFmpeg on standard error: for all three the successor takes over, PyAV on the same file. So it
does after `spare_memory`: a thread of decord's goes on to decode the whole file, and only closing it gives that back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Self

import decord
import numpy as np
from decord import DECORDError
from numpy.typing import NDArray

from vidsearch.records import FrameSpec, VideoFacts
from vidsearch.video.doubts import Timetable, timetable_doubts
from vidsearch.video.header import Header
from vidsearch.video.interface import VideoReader
from vidsearch.video.picture import cut_square, scaled_size

_BATCH = 16  # frames asked for at once: enough to keep decord in its loop, small beside a window's own memory
_BATCH_BYTES = 64 << 20  # and no more than this: pictures kept as they are can be large
_UNSURE_FRAMES = 2  # the last ones: there decord may return an earlier frame (docs/decoding.md)
# decord gives times as float32; what that rounds up must not hide the picture that starts at the wanted time.
_ROUNDING = 2.0**-23
_MICROSECOND = 1e-6


class DecordRefusedError(Exception):
    """decord cannot open the file, or what it made of it cannot be right."""


class DecordReader:
    """A file that decord reads. See `interface.VideoReader` for the interface."""

    def __init__(
        self,
        path: Path,
        header: Header,
        spec: FrameSpec,
        open_successor: Callable[[], VideoReader],
        stderr_bytes: Callable[[], int] | None = None,
    ) -> None:
        """`stderr_bytes` counts what this process has printed to standard error, if no other process writes there.

        Raises DecordRefusedError if decord cannot open the file, or sees other pictures than the container has.
        """
        decord.logging.set_level(decord.logging.QUIET if stderr_bytes is None else decord.logging.ERROR)
        self.path = path
        self._stderr_bytes = stderr_bytes or (lambda: 0)
        self._spec = spec
        self._open_successor = open_successor
        self._successor: VideoReader | None = None
        self._gave_up = False
        upright = (header.width_px * header.pixel_aspect, float(header.height_px))
        width, height = scaled_size(*(upright[::-1] if header.rotation_deg % 180 else upright), spec)
        self._frame_bytes = 3 * width * height
        try:
            # One thread a file: the pool reads several files at once, and VP9 with hidden frames needs it.
            reader = decord.VideoReader(str(path.absolute()), width=width, height=height, num_threads=1)
            table = _timetable(reader)
        except (DECORDError, RuntimeError) as error:
            raise DecordRefusedError(str(error)) from error
        found = timetable_doubts(header, table)
        if found:
            raise DecordRefusedError(found[0].reason)
        self._reader: decord.VideoReader | None = reader
        self._starts_s = table.starts_s + header.start_s
        self._facts = _facts(header, table)

    @property
    def facts(self) -> VideoFacts:
        if self._successor is None:
            return self._facts
        # For the last frames alone the successor is a help; after a damaged packet the file is its own.
        return self._successor.facts if self._gave_up else replace(self._facts, damage=self._successor.facts.damage)

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """See `VideoReader.starts_s`."""
        return self._starts_s

    def frames_at(self, times_s: Sequence[float]) -> Iterator[NDArray[np.uint8]]:
        """See `VideoReader.frames_at`."""
        return (picture for _, picture in self.pictures_at(times_s))

    def pictures_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """See `VideoReader.pictures_at`."""
        times = np.asarray(times_s, dtype=np.float64)
        margin = np.maximum(times * _ROUNDING, _MICROSECOND)
        numbers = np.searchsorted(self._starts_s, times + margin, side="right") - 1
        numbers = np.maximum(numbers, 0)
        sure = int(np.searchsorted(numbers, len(self._starts_s) - _UNSURE_FRAMES))
        done = 0
        if not self._gave_up:
            for frame in self._decode(numbers[:sure].tolist()):
                yield float(self._starts_s[numbers[done]]), frame
                done += 1
        if done < len(times_s):
            yield from self._succeed().pictures_at(times_s[done:])

    def _decode(self, numbers: list[int]) -> Iterator[NDArray[np.uint8]]:
        """Frames by their number, until the last one or the first sign of damage."""
        waiting = iter(numbers)
        size = max(1, min(_BATCH, _BATCH_BYTES // self._frame_bytes))
        while self._reader is not None and (batch := list(islice(waiting, size))):
            before = self._stderr_bytes()
            try:
                frames = self._reader.get_batch(batch).asnumpy()
            except (DECORDError, RuntimeError):
                self._gave_up = True
                return
            if self._stderr_bytes() > before:  # these pictures may be broken: PyAV says which, and how much is lost
                self._gave_up = True
                return
            yield from cut_square(frames, self._spec)

    def _succeed(self) -> VideoReader:
        if self._successor is None:
            self._successor = self._open_successor()
        return self._successor

    def spare_memory(self) -> None:
        """See `VideoReader.spare_memory`."""
        self._reader = None

    def close(self) -> None:
        if self._successor is not None:
            self._successor.close()
        self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _timetable(reader: decord.VideoReader) -> Timetable:
    times = np.asarray(reader.get_frame_timestamp(np.arange(len(reader))), dtype=np.float64).reshape(-1, 2)
    return Timetable(times[:, 0], times[:, 1])


def _facts(header: Header, table: Timetable) -> VideoFacts:
    picture_s = float(table.ends_s[-1])
    width, height = header.width_px, header.height_px
    if header.rotation_deg % 180:
        width, height = height, width
    return VideoFacts(
        start_s=header.start_s,
        picture_s=picture_s,
        fps=len(table.starts_s) / picture_s,
        frames=len(table.starts_s),
        width_px=width,
        height_px=height,
        codec=header.codec,
        container=header.container,
        rotation_deg=header.rotation_deg,
        reader="decord",
        stated_s=header.stated_s,
        recorded_s=header.recorded_s,
    )
