"""The display matrix of a container → how its stored pictures are turned and mirrored to be upright."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

_MATRIX = struct.Struct("=9i")
_NEAR_DEG = 1.0  # as decord and FFmpeg have it; no camera writes anything between quarter turns


@dataclass(frozen=True, slots=True)
class Orientation:
    """`rotation_deg` (0, 90, 180, 270) clockwise; `mirrored`: then left and right are exchanged."""

    rotation_deg: int = 0
    mirrored: bool = False

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A stored picture (H, W, 3) as it is shown; a view."""
        turned = np.rot90(picture, -self.rotation_deg // 90)
        return turned[:, ::-1] if self.mirrored else turned


def orientation(frame: VideoFrame) -> Orientation:
    """How a decoded frame is to be shown.

    A stored point (x, y) is shown at (ax + cy, bx + dy); ISO/IEC 14496-12, 6.2.2.
    """
    stated = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(stated, SideData) or stated.buffer_size < _MATRIX.size:
        return Orientation()
    a, b, _, c, d, *_ = _MATRIX.unpack_from(bytes(stated))
    mirrored = a * d - b * c < 0
    degrees = math.degrees(math.atan2(b, -a if mirrored else a))
    turns = round(degrees / 90)
    return Orientation(turns * 90 % 360 if abs(degrees - 90 * turns) <= _NEAR_DEG else 0, mirrored)
