"""A video file → the reader that can be trusted with it; its frames → windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VideoError
from vidsearch.extras import installed
from vidsearch.records import ClipFrames, ClipWindow, FrameSpec, WindowSpec
from vidsearch.video.doubts import doubts
from vidsearch.video.header import Header, probe, refused
from vidsearch.video.interface import VideoReader
from vidsearch.video.messages import shown
from vidsearch.video.shots import expected_windows, open_detector, shot_windows
from vidsearch.video.windows import windows_of

_MICROSECOND = 1e-6
_NO_SOUND_PICTURE = "no picture of it can be decoded soundly at its time"


def open_reader(path: Path, frame_spec: FrameSpec, stderr_bytes: Callable[[], int] | None = None) -> VideoReader:
    """The reader that can be trusted with this file: decord, or PyAV if a doubt of `doubts` holds or decord is missing.

    decord has wheels for x86-64 alone; PyAV reads whatever decord reads.

    `stderr_bytes`, for a process whose standard error is its own, counts the bytes printed there: decord's FFmpeg tells
    of damaged pictures in no other way.

    Raises VideoError with the kind and the sentence for the user if the file cannot be read at all.
    """
    header = _probe(path)
    if installed("decord") and not doubts(header):
        from vidsearch.video.decord_reader import DecordReader, DecordRefusedError

        try:
            return DecordReader(path, header, frame_spec, lambda: _open_pyav(path, header, frame_spec), stderr_bytes)
        except DecordRefusedError:
            pass  # PyAV's word on the same file counts
    return _open_pyav(path, header, frame_spec)


def _open_pyav(path: Path, header: Header, frame_spec: FrameSpec) -> VideoReader:
    from vidsearch.video.pyav_reader import PyavReader

    return PyavReader(path, header, frame_spec)


def _probe(path: Path) -> Header:
    try:
        if not path.is_file():
            path.stat()  # raises where nothing is there
            raise VideoError("not-a-file", f"{shown(path)} is not a file; name a video or a folder.")
        with path.open("rb"):  # FFmpeg says less than the system about a refusal
            pass
        return probe(path)
    except OSError as error:
        raise refused(path, error) from error


def read_windows(reader: VideoReader, window_spec: WindowSpec) -> Iterator[ClipFrames]:
    """The windows of a video in their order, with their frames (T, H, W, 3).

    Each time is asked for once, however many windows share it, and a frame is kept no longer than a window needs
    it: memory is that of about two windows, however long the video is.
    """
    yield from windows_of_spec(reader, window_spec)[1]


def windows_of_spec(reader: VideoReader, window_spec: WindowSpec) -> tuple[int, Iterator[ClipFrames]]:
    """The windows of a video with their frames, as `own_windows`, and how many there are.

    Where windows follow cuts, the number is that of a video without a cut: the cuts are met while it is decoded.
    """
    if window_spec.kind == "shots":
        found = shot_windows(reader, window_spec, open_detector())
        return expected_windows(reader, window_spec), _own(found, reader)
    windows = windows_in(reader, window_spec)
    return len(windows), own_windows(windows, reader)


def windows_in(reader: VideoReader, window_spec: WindowSpec) -> list[ClipWindow]:
    """Where the windows of a video lie, as far as its times tell."""
    return windows_of(reader.starts_s, reader.facts.start_s + reader.facts.picture_s, window_spec)


def own_windows(windows: Sequence[ClipWindow], reader: VideoReader) -> Iterator[ClipFrames]:
    """The windows that show a picture of their own time; the pictures of the others could not be decoded soundly.

    Raises VideoError if none is left.
    """
    return _own(_filled(windows, reader), reader)


def _own(filled: Iterable[tuple[ClipFrames, list[float]]], reader: VideoReader) -> Iterator[ClipFrames]:
    left = False
    for clip, starts_s in filled:
        if any(clip.window.start_s - _MICROSECOND <= start_s < clip.window.end_s for start_s in starts_s):
            left = True
            yield clip
    if not left:
        raise VideoError("corrupt", f"{shown(reader.path)} is damaged: {_NO_SOUND_PICTURE}; copy it again.")


def fill_windows(windows: Sequence[ClipWindow], reader: VideoReader) -> Iterator[ClipFrames]:
    """All of the windows, whenever the pictures that are shown in them begin."""
    return (clip for clip, _ in _filled(windows, reader))


def _filled(windows: Sequence[ClipWindow], reader: VideoReader) -> Iterator[tuple[ClipFrames, list[float]]]:
    """Each window with its frames, and when these begin."""
    times = sorted({time for window in windows for time in window.times_s})
    pictures = zip(times, reader.pictures_at(times), strict=True)
    kept: dict[float, tuple[float, NDArray[np.uint8]]] = {}
    for window in windows:
        for time in [time for time in kept if time < window.times_s[0]]:
            del kept[time]
        while window.times_s[-1] not in kept:
            time, picture = next(pictures)
            kept[time] = picture
        shown = [kept[time] for time in window.times_s]
        yield ClipFrames(window, np.stack([frame for _, frame in shown])), [start_s for start_s, _ in shown]
