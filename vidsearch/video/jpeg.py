"""Frames ↔ JPEG pictures, with the codec that PyAV brings."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray


def to_jpeg(frame: NDArray[np.uint8], side_px: int | None = None) -> bytes:
    """uint8 RGB (H, W, 3), even sides → the bytes of a JPEG file, its longer side at most `side_px`."""
    height, width = frame.shape[:2]
    shrink = min(1.0, side_px / max(width, height)) if side_px else 1.0
    width, height = (max(2, 2 * round(side * shrink / 2)) for side in (width, height))
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "3", "qmax": "3"}
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    picture = picture.reformat(width, height, format="yuvj420p", interpolation="AREA")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def from_jpeg(data: bytes) -> NDArray[np.uint8]:
    """The bytes of a JPEG file that `to_jpeg` made → uint8 RGB (H, W, 3)."""
    decoder = av.CodecContext.create("mjpeg", "r")
    [picture] = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    return np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
