"""One video from a time on as fragmented MP4 (H.264, AAC) on stdout: `python -m vidsearch.serving.convert`.

In a process of its own: a file that takes the decoder down takes no viewer with it, and it ends when its reader does.
It is no faster than it is read: the pipe fills, and it waits.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import av.filter
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from vidsearch.editing.source import Source, open_source
from vidsearch.video.header import packets_of
from vidsearch.video.orientation import orientation

TICKS = 90_000  # of the converted video, in a second
KEY_EVERY_S = 1.0  # a fragment is this long: what a viewer waits for at least
SOUND_RATE = 48_000
_SAME_S = 1e-4  # times of two clocks that mean the same
_TURNS = {90: [("transpose", "clock")], 180: [("hflip", ""), ("vflip", "")], 270: [("transpose", "cclock")]}


def convert(path: Path, start_s: float, height_px: int, out: IO[bytes]) -> None:
    """Writes the video from `start_s` (container presentation time) on; its own times begin at 0.

    An index may lead behind the key frame, always so in a transport stream: `Source` finds it. Raises VideoError if the
    file cannot be opened, av.FFmpegError where it cannot be decoded.
    """
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
    with open_source(path, sound=True) as source, av.open(out, "w", format="mp4", options=options) as target:
        source.video.thread_type = "AUTO"
        later = start_s > (source.video.start_time or 0) * source.time_base
        if later:
            source.prepare_decoder()
        packets = source.packets_from_key_frame(start_s) if later else packets_of(source.container, None)
        _Converter(source, packets, target, start_s, height_px).run()


class _Converter:
    def __init__(
        self,
        source: Source,
        packets: Iterator[Packet],
        target: av.container.OutputContainer,
        start_s: float,
        height_px: int,
    ) -> None:
        self._pictures, self._packets, self._target = source.video, packets, target
        self._start_s, self._height_px = start_s, height_px
        self._sound = next((stream for stream in source.others if stream.type == "audio"), None)
        self._graph: av.filter.Graph | None = None
        self._made: VideoStream | None = None
        self._made_sound: av.audio.stream.AudioStream | None = None
        self._resampler = AudioResampler("fltp", "stereo", SOUND_RATE)
        self._last_tick = -1
        self._last_key_s = -KEY_EVERY_S

    def run(self) -> None:
        if self._sound is not None:
            self._made_sound = self._target.add_stream("aac", rate=SOUND_RATE)
            self._made_sound.codec_context.layout = "stereo"
        held: list[AudioFrame] = []  # sound that came before the first picture told its size
        for packet in self._packets:
            if packet.stream is self._pictures:
                for frame in _decoded(packet):
                    if isinstance(frame, VideoFrame):
                        self._add_picture(frame)
            elif packet.stream is self._sound:
                held += [frame for frame in _decoded(packet) if isinstance(frame, AudioFrame)]
            if self._made is not None:
                for sound in held:
                    self._add_sound(sound)
                held.clear()
        if self._made is not None:
            self._target.mux(self._made.encode(None))
        if self._made_sound is not None and self._made is not None:
            self._target.mux(self._made_sound.encode(None))

    def _add_picture(self, frame: VideoFrame) -> None:
        if frame.time is None or frame.time + self._frame_s() <= self._start_s + _SAME_S:
            return
        if self._graph is None:
            self._graph = _shaping(frame, self._pictures, self._height_px)
        self._graph.push(frame)
        for shaped in _pulled(self._graph):
            self._put_picture(shaped)

    def _put_picture(self, shaped: VideoFrame) -> None:
        if self._made is None:
            self._made = self._add_stream(shaped.width, shaped.height)
        since_s = max(0.0, (shaped.time or 0.0) - self._start_s)
        shaped.pts = self._last_tick = max(self._last_tick + 1, round(since_s * TICKS))
        shaped.time_base = Fraction(1, TICKS)
        key = since_s - self._last_key_s >= KEY_EVERY_S
        if key:
            self._last_key_s = since_s
        shaped.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        self._target.mux(self._made.encode(shaped))

    def _add_sound(self, frame: AudioFrame) -> None:
        assert self._made_sound is not None
        if frame.time is None or frame.time < self._start_s:
            return
        frame.pts = round((frame.time - self._start_s) * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        for resampled in self._resampler.resample(frame):
            self._target.mux(self._made_sound.encode(resampled))

    def _add_stream(self, width_px: int, height_px: int) -> VideoStream:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}
        made = self._target.add_stream("libx264", rate=self._pictures.average_rate or 25, options=options)
        made.width, made.height, made.pix_fmt = width_px, height_px, "yuv420p"
        made.time_base = made.codec_context.time_base = Fraction(1, TICKS)
        made.codec_context.gop_size = 10_000  # keys are set by time
        return made

    def _frame_s(self) -> float:
        rate = self._pictures.average_rate
        return float(1 / rate) if rate else 0.04


def _shaping(frame: VideoFrame, stream: VideoStream, height_px: int) -> av.filter.Graph:
    """Upright, with square pixels, at most `height_px` high, both sides even."""
    steps = [("yadif", "deint=interlaced")] if frame.interlaced_frame else []
    # The pixels' shape first: after a turn it is the other way round, of which nobody keeps account.
    # JPEG: brightness from 0 to 255; what is made has the usual range, from 16 to 235.
    ranges = ":in_range=full:out_range=limited" if frame.color_range == ColorRange.JPEG else ""
    steps += [("scale", "w=trunc(iw*sar/2)*2:h=trunc(ih/2)*2" + ranges), ("setsar", "1")]
    turned = orientation(frame)
    steps += _TURNS.get(turned.rotation_deg, []) + ([("hflip", "")] if turned.mirrored else [])
    steps += [("scale", f"w=-2:h=trunc(min(ih,{height_px})/2)*2"), ("format", "yuv420p")]
    graph = av.filter.Graph()
    last = graph.add_buffer(
        template=stream, width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    for name, arguments in steps:
        node = graph.add(name, arguments)
        last.link_to(node)
        last = node
    sink = graph.add("buffersink")
    last.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[VideoFrame]:
    """What comes out of the filters now; deinterlacing keeps a frame back."""
    try:
        while True:
            shaped = graph.pull()
            assert isinstance(shaped, VideoFrame)
            yield shaped
    except (av.error.BlockingIOError, av.error.EOFError):
        return


def _decoded(packet: av.packet.Packet) -> Iterator[av.frame.Frame]:
    """The frames of a packet; a damaged one is passed over, as players do."""
    try:
        yield from packet.decode()
    except av.error.InvalidDataError:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(5)  # who searches goes first
    try:
        convert(given.path, given.start, given.height, sys.stdout.buffer)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
