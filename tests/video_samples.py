"""Small videos made on the spot: every picture shows its own number, or a plain colour."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 64
_CELLS = 4  # a number is a grid of 4 × 4 black or white cells: 16 bits that survive any codec and scaling
_TICKS = 1000  # of the time base, in a second


def numbered_picture(number: int, width_px: int = SIDE_PX, height_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """(H, W, 3): the number in binary, most significant cell first."""
    bits = np.array([number >> bit & 1 for bit in range(_CELLS * _CELLS - 1, -1, -1)], dtype=np.uint8)
    cells = np.where(bits.reshape(_CELLS, _CELLS) == 1, 220, 30).astype(np.uint8)
    grey = cells.repeat(height_px // _CELLS, axis=0).repeat(width_px // _CELLS, axis=1)
    return np.repeat(grey[:, :, None], 3, axis=2)


def number_in(picture: NDArray[np.uint8]) -> int:
    """The number that a picture (H, W, 3) of any size shows."""
    height, width = picture.shape[0] // _CELLS, picture.shape[1] // _CELLS
    grey = picture.mean(axis=2).reshape(_CELLS, height, _CELLS, width).mean(axis=(1, 3))
    return int("".join("1" if cell > 125 else "0" for cell in grey.ravel()), 2)


def even_times(count: int, fps: float, start_s: float = 0.0) -> list[float]:
    return [start_s + number / fps for number in range(count)]


def make_video(
    path: Path,
    times_s: Sequence[float],
    *,
    codec: str = "libx264",
    b_frames: int = 0,
    key_every: int = 25,
    codec_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    rate: int = 25,
    own_rate: bool = False,
    width_px: int = SIDE_PX,
    height_px: int = SIDE_PX,
) -> Path:
    """A video whose picture i shows i and starts at `times_s[i]`. `own_rate`: containers that know only a rate."""
    base = Fraction(1, rate if own_rate else _TICKS)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=codec_options or {})
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = key_every, b_frames
        stream.codec_context.thread_count = 1
        for number, time in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, width_px, height_px), format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_without_coding(source: Path, target: Path, from_s: float) -> Path:
    """`source` from `from_s` on, packets copied from the key frame before it: an edit list hides what comes earlier."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = round(from_s / stream.time_base)
        old.seek(shift, stream=stream)
        for packet in old.demux(stream):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = copy
            new.mux(packet)
    return target


def turn_upright(path: Path) -> None:
    """Mark an MP4 as stored on its side: a player turns it by 90° clockwise."""
    set_display_matrix(path, 0, 1, -1, 0)


def set_display_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """Have a player show a stored point (x, y) of an MP4 at (ax + cy, bx + dy) (ISO/IEC 14496-12, tkhd)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # type, version and flags, times, track, duration, layer, volume
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(
        ">9i", *(round(part * one) for part in (a, b, 0, c, d, 0, SIDE_PX, 0)), 1 << 30
    )
    path.write_bytes(data)


COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def make_colour_video(path: Path, *scenes: tuple[str, float], fps: int = 5) -> Path:
    """A video of plain colours, each for so many seconds, one after the other."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for colour, length_s in scenes:
            picture = np.full((SIDE_PX, SIDE_PX, 3), COLOURS[colour], dtype=np.uint8)
            for _ in range(round(length_s * fps)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_cut_video(path: Path, lengths_s: Sequence[float], *, fps: int = 25) -> Path:
    """Scenes of such lengths, each a pattern of its own with grain, over which the camera moves; cut hard."""
    random = np.random.default_rng(11)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        stream.codec_context.thread_count = 1
        for number, length_s in enumerate(lengths_s):
            low, high = ((10, 90), (150, 250), (60, 140), (200, 250))[number % 4]
            pattern = random.uniform(low, high, (8, 8, 3)).repeat(32, axis=0).repeat(32, axis=1)
            for step in range(round(length_s * fps)):
                view = pattern[step // 4 % 128 :][:128, step // 8 % 128 :][:, :128]
                picture = (view + random.normal(0, 2, view.shape)).clip(0, 255).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def make_room_video(path: Path, lit: Sequence[tuple[float, bool]], *, fps: int = 5, noise: float = 2.0) -> Path:
    """What a camera on a wall sees: a room, the grain of the sensor, and a lamp that is on or off for so many seconds.

    Coded by H.264 as cameras do, with a key frame every two seconds. The lamp fills a 64th of the picture.
    """
    random = np.random.default_rng(5)
    room = random.uniform(40, 200, (8, 8, 3)).repeat(16, axis=0).repeat(16, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "26"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 2 * fps, 1
        for length_s, is_on in lit:
            for _ in range(round(length_s * fps)):
                picture = room + random.normal(0, noise, room.shape)
                if is_on:
                    picture[16:32, 64:80] = 250
                frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def make_film(path: Path, length_s: float = 4.0, *, tags: dict[str, str] | None = None, sounds: int = 2) -> Path:
    """Numbered pictures at 25 a second, a key frame every second, colour tags, sound tracks and a line of subtitles.

    Sound track i is silent but for a click at each whole second i, i + 1, …; the line is read from 0.5 to 2.5 s.
    """
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = SIDE_PX, SIDE_PX, "yuv420p"
        context = video.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = 25, 2, 1
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        tracks = [container.add_stream("aac", rate=16_000) for _ in range(sounds)]
        for number, track in enumerate(tracks):
            track.codec_context.layout = "mono"
            track.metadata["language"] = ("eng", "fra", "deu")[number]
        lines = container.add_stream("subrip") if path.suffix == ".mkv" else None
        if lines is not None:
            lines.codec_context.subtitle_header = b"[Script Info]\n[V4+ Styles]\n[Events]\n"  # its encoder wants one
        container.start_encoding()
        if lines is not None:
            line = av.Packet(b"What is read.")
            line.stream, line.time_base = lines, Fraction(1, _TICKS)
            line.pts = line.dts = 500
            line.duration = 2000
            container.mux(line)
        for number in range(round(length_s * 25)):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            for track in tracks:
                sound = np.zeros((1, 640), np.float32)
                if number % 25 == 0:
                    sound[0, :80] = 0.5
                samples = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 16_000, number * 640, Fraction(1, 16_000)
                container.mux(track.encode(samples))
        for stream in (video, *tracks):
            container.mux(stream.encode(None))
    return path
