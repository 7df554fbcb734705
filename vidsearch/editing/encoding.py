"""The encoder of clips that are cut to the frame: H.264, or HEVC for more than 8 bits, tagged as the source."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av.container
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidsearch.editing.source import Source

_QUALITY = {"libx264": "16", "libx265": "18"}  # constant rate factors at which a difference is hard to see
# How RGB becomes what the encoder takes, and how players are told: with the matrix of SMPTE 170M, in the video range.
_FROM_RGB = {"colorspace": 6, "color_range": ColorRange.MPEG}
# Of a colour tag: H.273, tables 2 to 4.
_UNSPECIFIED = {"color_primaries": 2, "color_trc": 2, "colorspace": 2, "color_range": ColorRange.UNSPECIFIED}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How pictures are encoded: the encoder, its pixels, and the size of the stored picture, both sides even."""

    encoder: str
    pixels: str
    width_px: int
    height_px: int

    def fit(self, frame: VideoFrame) -> VideoFrame:
        """The frame as the encoder takes it; a frame of another size, as damage makes them, is scaled."""
        if (frame.format.name, frame.width, frame.height) == (self.pixels, self.width_px, self.height_px):
            return frame
        ways = {f"dst_{name}": value for name, value in _FROM_RGB.items()} if frame.format.is_rgb else {}
        return frame.reformat(self.width_px, self.height_px, format=self.pixels, **ways)


def encoding_of(frame: VideoFrame) -> Encoding:
    """What keeps a source's pictures best among what players take: 8 or 10 bits, and 4:2:0 unless it has more colour.

    Odd sides lose one line: 4:2:0 has none.
    """
    parts = frame.format.components
    deep = any(part.bits > 8 for part in parts)
    chroma = _chroma(frame)
    pixels = f"yuv{chroma}p10le" if deep else f"yuv{chroma}p"
    return Encoding("libx265" if deep else "libx264", pixels, max(2, frame.width & ~1), max(2, frame.height & ~1))


def _chroma(frame: VideoFrame) -> str:
    """`420`, `422` or `444`: how much colour the stored pictures have beside their brightness."""
    parts = frame.format.components
    if frame.format.is_rgb:
        return "444" if len(parts) >= 3 and not frame.format.has_palette else "420"
    if len(parts) < 3:
        return "420"
    narrow = parts[1].width < frame.width
    low = parts[1].height < frame.height
    return {(True, True): "420", (True, False): "422"}.get((narrow, low), "444")


def add_video(
    output: av.container.OutputContainer, encoding: Encoding, source: Source, first: VideoFrame
) -> VideoStream:
    """A stream that is encoded, with the time base, pixel shape, rotation and colour tags of the source."""
    given = source.video
    rate = given.average_rate or given.guessed_rate or Fraction(25)
    options = {"crf": _QUALITY[encoding.encoder], "preset": "medium", **_quiet(encoding.encoder)}
    stream = cast("VideoStream", output.add_stream(encoding.encoder, rate=rate, options=options))
    context = stream.codec_context
    stream.width, stream.height, stream.pix_fmt = encoding.width_px, encoding.height_px, encoding.pixels
    if encoding.encoder == "libx265" and not output.format.name.startswith("matroska"):
        context.codec_tag = "hvc1"  # Apple's players take no other
    stream.time_base = context.time_base = source.time_base
    if given.sample_aspect_ratio:
        context.sample_aspect_ratio = given.sample_aspect_ratio
    if first.rotation:
        stream.set_display_rotation(first.rotation)
    for name, value in (source.colours | (_FROM_RGB if first.format.is_rgb else {})).items():
        if value not in (None, _UNSPECIFIED[name]):
            with contextlib.suppress(ValueError, TypeError):  # a value that this FFmpeg has no name for
                setattr(context, name, value)
    return stream


def _quiet(encoder: str) -> dict[str, str]:
    return {"x265-params": "log-level=error"} if encoder == "libx265" else {}
