"""One frame as a small JPEG picture, for result pages."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def to_jpeg(frame: NDArray[np.uint8]) -> bytes:
    """uint8 RGB (H, W, 3), even sides → the bytes of a JPEG file, with the encoder that PyAV brings."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = frame.shape[1], frame.shape[0]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": "3", "qmax": "3"}
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
