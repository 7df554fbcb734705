"""A picture in a file → the pixels that a model wants of it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec
from vidsearch.video.messages import shown
from vidsearch.video.picture import cut_square, scaled_size

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".jxl", ".avif", ".heic", ".heif"}
)
_FORMATS = "bmp_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,png_pipe,tiff_pipe,webp_pipe,image2,mov"
_MOST_PIXELS = 150_000_000


def is_picture(path: Path) -> bool:
    """Whether a file is named as pictures are."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path, spec: FrameSpec) -> NDArray[np.uint8]:
    """RGB (H, W, 3), upright, at the side of `spec`. Raises VideoError if the file is no picture that can be read."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError("unreadable", f"{shown(path)} cannot be read ({error.strerror}); check its name.") from error
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > _MOST_PIXELS:
                raise VideoError("memory", f"{shown(path)} has too many pixels; make it smaller.")
            frame = next(container.decode(stream))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise VideoError(
            "unsupported-codec", f"{shown(path)} is not a picture that can be read; give a JPEG or PNG."
        ) from error
    turn = frame.rotation % 360  # counter-clockwise, as the camera was held
    sideways = turn % 180 == 90
    width, height = (frame.height, frame.width) if sideways else (frame.width, frame.height)
    width, height = scaled_size(width, height, spec)
    stored = (height, width) if sideways else (width, height)
    pixels = frame.reformat(*stored, format="rgb24", interpolation="BICUBIC").to_ndarray()
    return cut_square(np.ascontiguousarray(np.rot90(pixels, turn // 90)), spec)
