"""Pictures of a video, one after the other → windows that follow its cuts.

A shot ends where ContentDetector of PySceneDetect (extra `shots`) sees a cut: where hue, saturation and brightness
change by more than its threshold, on average, between two pictures. Every picture is looked at as it is decoded, in one
pass: memory is that of the pictures of one window.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vidsearch.extras import needing
from vidsearch.records import ClipFrames, WindowSpec
from vidsearch.video.interface import VideoReader
from vidsearch.video.timeline import stretches
from vidsearch.video.windows import check_spec, window_at

# Of a window's length. A cut that comes sooner after the last one is not followed, or fast edits would make many
# windows; what is left of a long shot and is shorter stays with the window before.
SHORTEST_SHARE = 0.25
_LOOK_EVERY_S = 1 / 31  # at most so often: of 60 pictures a second every other one is enough
_SHORT_END_S = 0.2
_KEPT_PICTURES = 256  # of a window, evenly: its frames are taken from them
_KEPT_BYTES = 64 << 20
_MICROSECOND = 1e-6

Picture = NDArray[np.uint8]
SeesCut = Callable[[Picture], bool]  # given one picture (H, W, 3) after the other: does a shot begin with it?


def open_detector() -> SeesCut:
    """PySceneDetect's ContentDetector with its own threshold. Raises MissingExtraError where it is not installed."""
    with needing("to follow the cuts of a video"):
        from scenedetect import ContentDetector, FrameTimecode  # late: it brings OpenCV
    detector = ContentDetector(min_scene_len=0)  # in frames, whatever their rate: `SHORTEST_SHARE` does it here
    number = 0

    def sees_cut(picture: Picture) -> bool:
        nonlocal number
        number += 1
        return bool(detector.process_frame(FrameTimecode(number, 25.0), np.ascontiguousarray(picture[..., ::-1])))

    return sees_cut


def expected_windows(reader: VideoReader, spec: WindowSpec) -> int:
    """How many windows a video has if there is no cut in it; those that it has are known at its end."""
    return sum(
        max(1, math.ceil((end_s - start_s) / spec.length_s - SHORTEST_SHARE - _MICROSECOND))
        for start_s, end_s in _parts(reader, spec)
    )


def shot_windows(reader: VideoReader, spec: WindowSpec, sees_cut: SeesCut) -> Iterator[tuple[ClipFrames, list[float]]]:
    """The windows of a video in their order, each with the times at which its pictures begin.

    A window is a shot; a longer one is cut every `spec.length_s`. A hole in the pictures ends a shot as a cut does, and
    a picture that could not be decoded soundly begins none. Raises VidsearchError as `cut_windows`.
    """
    check_spec(spec)
    parts = _parts(reader, spec)
    part = 0
    shot: _Shot | None = None
    for start_s, picture in _pictures(reader):
        is_cut = sees_cut(picture)
        is_beyond = part + 1 < len(parts) and start_s >= parts[part][1]
        if shot is not None and (is_beyond or (is_cut and shot.is_long_enough(start_s))):
            yield from shot.windows_until(parts[part][1] if is_beyond else start_s)
            shot = None
        while part + 1 < len(parts) and start_s >= parts[part][1]:
            part += 1
        shot = shot or _Shot(start_s, spec, picture.nbytes)
        yield from shot.add(start_s, picture)
    if shot is not None:
        yield from shot.windows_until(parts[part][1])


class _Shot:
    """A shot that goes on: where its next window begins, and the pictures that this one may need."""

    def __init__(self, start_s: float, spec: WindowSpec, picture_bytes: int) -> None:
        self._start_s = self._next_s = start_s
        self._spec = spec
        self._shortest_s = SHORTEST_SHARE * spec.length_s
        longest_s = spec.length_s + self._shortest_s
        self._apart_s = longest_s / max(spec.frames, min(_KEPT_PICTURES, _KEPT_BYTES // picture_bytes))
        self._starts_s: list[float] = []
        self._kept: list[Picture] = []

    def is_long_enough(self, end_s: float) -> bool:
        """Whether the shot may end there."""
        return end_s - self._start_s >= self._shortest_s - _MICROSECOND

    def add(self, start_s: float, picture: Picture) -> Iterator[tuple[ClipFrames, list[float]]]:
        """The next picture; before it the windows after which, when it begins, another one has room."""
        yield from self._whole_windows(start_s)
        if not self._starts_s or start_s - self._starts_s[-1] >= self._apart_s - _MICROSECOND:
            self._starts_s.append(start_s)
            self._kept.append(picture)
        unneeded = max(bisect_right(self._starts_s, self._next_s) - 1, 0)
        del self._starts_s[:unneeded], self._kept[:unneeded]

    def windows_until(self, end_s: float) -> Iterator[tuple[ClipFrames, list[float]]]:
        """The windows that are left when the shot ends, after its last picture whatever another reader says."""
        end_s = max(end_s, self._starts_s[-1] + _MICROSECOND)
        yield from self._whole_windows(end_s)
        yield self._filled(end_s)

    def _whole_windows(self, until_s: float) -> Iterator[tuple[ClipFrames, list[float]]]:
        while until_s - self._next_s > self._spec.length_s + self._shortest_s - _MICROSECOND:
            yield self._filled(self._next_s + self._spec.length_s)

    def _filled(self, end_s: float) -> tuple[ClipFrames, list[float]]:
        """The next window, which ends there."""
        window = window_at(self._next_s, end_s - self._next_s, self._spec.frames)
        self._next_s = end_s
        shown = [max(bisect_right(self._starts_s, time + _MICROSECOND) - 1, 0) for time in window.times_s]
        frames = np.stack([self._kept[place] for place in shown])
        return ClipFrames(window, frames), [self._starts_s[place] for place in shown]


def _parts(reader: VideoReader, spec: WindowSpec) -> list[tuple[float, float]]:
    """The stretches of pictures without a hole."""
    return stretches(reader.starts_s, reader.facts.start_s + reader.facts.picture_s, spec.length_s)


def _pictures(reader: VideoReader) -> Iterator[tuple[float, Picture]]:
    """The pictures to look at, each once: a place that cannot be decoded soundly gives the one before again."""
    before_s = -math.inf
    for start_s, picture in reader.pictures_at(_times(reader.starts_s.tolist())):
        if start_s > before_s:
            before_s = start_s
            yield start_s, picture


def _times(starts_s: list[float]) -> list[float]:
    """When the pictures to look at begin. The last two are left out where they are short.

    decord may return earlier ones for these (docs/decoding.md), and then another reader would be opened for them.
    """
    if len(starts_s) > 2 and starts_s[-1] - starts_s[-3] < _SHORT_END_S:
        starts_s = starts_s[:-2]
    times = starts_s[:1]
    for start_s in starts_s:
        if start_s - times[-1] >= _LOOK_EVERY_S:
            times.append(start_s)
    return times
