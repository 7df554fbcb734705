"""Scenes → real H.264 files. PyAV is imported here and only by who writes files; training needs numpy alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidsearch.training.world.render import render, to_uint8
from vidsearch.training.world.scene import Scene

_CHUNK = 32  # frames rendered at once: bounds the memory of a long video


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file is encoded; `crf` is x264's quality (more is worse)."""

    width_px: int = 320
    height_px: int = 240
    fps: int = 24
    crf: int = 26

    @property
    def aspect(self) -> float:
        return self.width_px / self.height_px


DEMO_FORMATS = (FileFormat(320, 240, 24), FileFormat(320, 240, 30), FileFormat(256, 192, 25), FileFormat(384, 288, 24))


def write_video(path: Path, parts: Sequence[tuple[Scene, float]], form: FileFormat) -> None:
    """Scenes one after the other, each lasting its seconds, as an H.264 MP4 at `path`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=form.fps)
        stream.width, stream.height, stream.pix_fmt = form.width_px, form.height_px, "yuv420p"
        stream.time_base = Fraction(1, form.fps)
        stream.thread_count = 1  # the same bytes on every machine with the same encoder
        stream.options = {"crf": str(form.crf), "preset": "slow", "g": str(4 * form.fps)}
        for picture in _pictures(parts, form):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _pictures(parts: Sequence[tuple[Scene, float]], form: FileFormat) -> Iterator[NDArray[np.uint8]]:
    for scene, seconds in parts:
        frames = round(seconds * form.fps)
        for first in range(0, frames, _CHUNK):
            numbers = np.arange(first, min(first + _CHUNK, frames), dtype=np.float32)
            yield from to_uint8(render(scene, (numbers + 0.5) / frames, form.width_px, form.height_px))
