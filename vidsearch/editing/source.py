"""An open source of clips: its streams, its times, and the packets from a key frame on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vidsearch.errors import VideoError
from vidsearch.records import Hit
from vidsearch.timecode import earlier
from vidsearch.video.header import Header, opened, packets_of, probe, refused
from vidsearch.video.messages import shown

# Containers without presentation times: a picture is shown when it is decoded.
_NO_PRESENTATION_TIMES = frozenset({"avi"})
_STEPS_BACK_S = (0.0, 2.0, 10.0, 60.0, 600.0)  # tried in turn where an index points behind the time that was asked for
COLOUR_TAGS = ("color_primaries", "color_trc", "colorspace", "color_range")
_BEFORE_SUBTITLE_S = 30.0  # a line that is read longer than this before the cut is lost


@dataclass(frozen=True, slots=True)
class Span:
    """[start_s, end_s) of a source, in container presentation time."""

    start_s: float
    end_s: float

    @classmethod
    def around(cls, hit: Hit, pad_s: float) -> Span:
        """The time of a hit with so much before and after it."""
        return cls(earlier(hit.start_s, pad_s), hit.end_s + pad_s)

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Source:
    """A video file that clips are cut from."""

    def __init__(
        self,
        path: Path,
        header: Header,
        container: av.container.InputContainer,
        video: VideoStream,
        *,
        sound: bool,
    ) -> None:
        self.path = path
        self.header = header
        self.container = container
        self.video = video
        self.demuxer = container.format.name.split(",")[0]
        others = [*(container.streams.audio if sound else ()), *container.streams.subtitles]
        self.others: list[Stream] = [stream for stream in others if stream.codec_context is not None]
        self.time_base = video.time_base or Fraction(1, av.time_base)
        context = video.codec_context  # before anything is decoded: decoders write their own guesses into it
        self.colours = {name: getattr(context, name) for name in COLOUR_TAGS}

    def time_of(self, packet: Packet) -> float | None:
        """When what is in a packet is shown or heard, in seconds; None where the file does not say."""
        ticks = packet.dts if packet.pts is None or self.demuxer in _NO_PRESENTATION_TIMES else packet.pts
        return None if ticks is None or packet.time_base is None else float(ticks * packet.time_base)

    def subtitle_end(self, packet: Packet) -> float:
        """When a line of a subtitle is read no longer."""
        if packet.pts is None or packet.time_base is None:
            return -1.0
        return float((packet.pts + (packet.duration or 0)) * packet.time_base)

    def packets_from_key_frame(self, start_s: float) -> Iterator[Packet]:
        """The packets of all streams from the last key frame at or before a time on; it is the first of its stream.

        An index may lie: the first packets say whether it did, then an earlier place is tried, at last the beginning.
        Raises VideoError if there is no key frame at all.
        """
        for back_s in _STEPS_BACK_S:
            found = self._from_index(start_s - back_s, start_s)
            if found is not None:
                yield from found
                return
        last = self._last_key_before(start_s)
        self._rewind()
        yield from self._from_key(last)

    def prepare_decoder(self) -> None:
        """Makes the decoder ready for packets from the middle of the file.

        4:4:4 that x264 wrote before 2018 is decoded rightly only by who knows so, and the first packet says it.
        """
        decoder = self.video.codec_context
        if self.header.codec == "h264":
            self._rewind()
            first = next((packet for packet in packets_of(self.container, self.video) if packet.size), None)
            with contextlib.suppress(av.error.InvalidDataError):
                decoder.decode(first)
        decoder.flush_buffers()

    def subtitles_before(self, start_s: float) -> list[Packet]:
        """The subtitle packets of the last seconds before a time: some of them are still read then."""
        streams = [stream for stream in self.others if stream.type == "subtitle"]
        if not streams:
            return []
        self._seek(start_s - _BEFORE_SUBTITLE_S)
        packets: list[Packet] = []
        for packet in packets_of(self.container, None):
            time = self.time_of(packet)
            if time is None:
                continue
            if time >= start_s:
                break
            if packet.stream in streams:
                packets.append(packet)
        return packets

    def _from_index(self, wanted_s: float, start_s: float) -> Iterator[Packet] | None:
        """The packets from where the index leads for `wanted_s`, if a key frame that is shown by `start_s` is first.

        Between it and `start_s` another key frame may stand: the last of them is looked for.
        """
        self._seek(wanted_s)
        held: list[Packet] = []
        key_at: int | None = None
        packets = packets_of(self.container, None)
        for packet in packets:
            if packet.stream_index == self.video.index and packet.size:
                time = self.time_of(packet)
                if key_at is None and (not packet.is_keyframe or time is None or time > start_s + self.tolerance_s):
                    if packet.is_keyframe:
                        return None
                    continue  # the index leads into the middle of a group: its rest is of no use
                if (
                    time is not None
                    and time > start_s + self.tolerance_s
                    and (packet.dts or 0) * self.time_base > start_s
                ):
                    held.append(packet)
                    break
                if packet.is_keyframe and time is not None and time <= start_s + self.tolerance_s:
                    key_at = len(held)
            held.append(packet)
        if key_at is None:
            return None
        return self._chained(held, key_at, packets)

    def _chained(self, held: list[Packet], key_at: int, rest: Iterator[Packet]) -> Iterator[Packet]:
        """What was read while the key frame was looked for, without the pictures before it, and what follows."""
        for number, packet in enumerate(held):
            if packet.stream_index != self.video.index or number >= key_at:
                yield packet
        yield from rest

    def _last_key_before(self, start_s: float) -> int:
        """The number of the video packet that is the last key frame at or before a time, or the first one of all."""
        self._rewind()
        found: int | None = None
        for number, packet in enumerate(packet for packet in packets_of(self.container, self.video) if packet.size):
            time = self.time_of(packet)
            if not packet.is_keyframe or time is None:
                continue
            if found is not None and time > start_s + self.tolerance_s:
                break
            found = number
        if found is None:
            raise VideoError("corrupt", f"{shown(self.path)} has no key frame to cut at; copy it again.")
        return found

    def _from_key(self, wanted: int) -> Iterator[Packet]:
        number = -1
        for packet in packets_of(self.container, None):
            if packet.stream_index == self.video.index and packet.size:
                number += 1
                if number < wanted:
                    continue
            yield packet

    @property
    def tolerance_s(self) -> float:
        """How far apart two times may be and mean the same: half a tick, but no part of a frame that can be told."""
        return min(float(self.time_base) / 2, 0.001)

    def _seek(self, time_s: float) -> None:
        try:
            self.container.seek(round(time_s / self.time_base), stream=self.video, backward=True)
        except av.FFmpegError:
            self._rewind()

    def _rewind(self) -> None:
        """Back to the first packet. Raises VideoError where the file cannot be read twice."""
        start = self.container.start_time
        try:
            self.container.seek(min(start or 0, 0) - av.time_base, backward=True)
        except av.FFmpegError:
            try:
                self.container.seek(start or 0)
            except av.FFmpegError as error:
                message = (
                    f"{shown(self.path)} cannot be read from a place in it; put it into an MP4 or Matroska file first."
                )
                raise VideoError("unreadable", message) from error


@contextmanager
def open_source(path: Path, *, sound: bool) -> Iterator[Source]:
    """The source, with its sound and subtitles. VideoError if it cannot be read, is encrypted or has no video."""
    try:
        with path.open("rb"):
            pass
        header = probe(path)
    except OSError as error:
        raise refused(path, error) from error
    with opened(path) as (container, video):
        yield Source(path, header, container, video, sound=sound)
