"""A clip cut to the frame: pictures decoded and encoded anew, sound and subtitles as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from vidsearch.editing.clip_file import ClipFile, open_clip_file
from vidsearch.editing.containers import MATROSKA, MP4, Container, first_that_holds, held_by
from vidsearch.editing.copying import CutReport, nothing_there
from vidsearch.editing.encoding import add_video, encoding_of
from vidsearch.editing.source import Source, Span

_LONG_PICTURE_S = 0.5  # a picture that stands longer ends with the clip
_SHOWN_LATE_S = 0.5  # an AVI's pictures come out of the decoder up to some packets late, and are shown then
_SOUND_BEHIND_S = 10.0  # how far behind the last picture the sound of the clip is waited for


def container_for_encoding(source: Source) -> Container:
    """MP4, which everything plays, if it takes the sound and subtitles as they are; else Matroska."""
    streams: list[Stream] = source.others
    return first_that_holds(streams, (MP4, MATROSKA))


def encode_clip(source: Source, span: Span, target: Path, container: Container) -> Iterator[float | CutReport]:
    """Writes the clip; yields the seconds of it that are done, and at last the report. Errors as of `copy_clip`.

    Its first picture is the one shown at `start_s`, its last the last one that begins before `end_s`.
    """
    held = held_by(container, source.others)
    reading = _Reading(source, span, held, source.subtitles_before(span.start_s))
    pictures = reading.pictures()
    first = next(pictures, None)
    if first is None:
        raise nothing_there(source, span)
    zero = first.pts or 0
    zero_s = float(zero * source.time_base)
    end_s = zero_s
    encoding = encoding_of(first)
    with open_clip_file(target, container, source) as clip:
        video = add_video(clip.output, encoding, source, first)
        clip.take_tags(source.video, video)
        for stream in held:
            clip.copy_stream(stream)
        clip.output.start_encoding()
        frame: VideoFrame | None = first
        while frame is not None:
            at_s = float((frame.pts or 0) * source.time_base)
            length_s = float((frame.duration or 0) * source.time_base)
            if length_s > _LONG_PICTURE_S:
                length_s = min(length_s, span.end_s - at_s)
            end_s = at_s + length_s
            fitted = encoding.fit(frame)
            fitted.pts, fitted.time_base = (frame.pts or 0) - zero, source.time_base
            fitted.duration = round(length_s / source.time_base)
            fitted.pict_type = 0  # the encoder chooses
            clip.output.mux(video.encode(fitted))
            reading.write_others(clip, zero_s)
            yield min(at_s, span.end_s) - zero_s
            frame = next(pictures, None)
        clip.output.mux(video.encode(None))
        reading.read_to_the_end_of_the_sound()
        reading.write_others(clip, zero_s)
    left_out = tuple(f"{stream.type} {stream.index}" for stream in source.others if stream not in held)
    yield CutReport(Span(zero_s, end_s), left_out)


def pictures_of(source: Source, span: Span) -> Iterator[tuple[VideoFrame, float, float]]:
    """The pictures of a moment as `encode_clip` has them, each with its time and for how long it stands, in seconds.

    Raises VideoError if the source has none at that time.
    """
    usual_s = float(1 / source.video.average_rate) if source.video.average_rate else 0.04
    found = False
    for frame in _Reading(source, span, [], []).pictures():
        found = True
        at_s = float((frame.pts or 0) * source.time_base)
        length_s = float((frame.duration or 0) * source.time_base) or usual_s
        yield frame, at_s, min(length_s, span.end_s - at_s) if length_s > _LONG_PICTURE_S else length_s
    if not found:
        raise nothing_there(source, span)


class _Reading:
    """One pass over the source: pictures come out decoded, packets of the other streams are laid aside."""

    def __init__(self, source: Source, span: Span, others: list[Stream], earlier: list[Packet]) -> None:
        self._source = source
        self._span = span
        self._others = {stream.index: stream.type for stream in others}
        self._earlier = earlier
        self._aside: deque[Packet] = deque()
        late_s = _SHOWN_LATE_S if source.demuxer == "avi" else 0.0
        self._packets = source.packets_from_key_frame(span.start_s - late_s)
        self._sound_to_come = {stream.index for stream in others if stream.type == "audio"}

    def pictures(self) -> Iterator[VideoFrame]:
        """From the one that is shown at the start to the last one that begins before the end, with rising times."""
        same_s = self._source.tolerance_s
        held: VideoFrame | None = None
        last: int | None = None
        for frame in self._decoded():
            if frame.pts is None or (last is not None and frame.pts <= last):
                continue
            last = frame.pts
            at_s = float(frame.pts * self._source.time_base)
            if at_s >= self._span.end_s - same_s:
                if held is not None and at_s > self._span.start_s:
                    yield held
                return
            if at_s <= self._span.start_s + same_s:
                held = frame
                continue
            if held is not None:
                yield held
                held = None
            yield frame
        if held is not None and self._ends_at(held) > self._span.start_s:
            yield held  # the last picture of the file

    def _ends_at(self, frame: VideoFrame) -> float:
        rate = self._source.video.average_rate
        usual_s = float(1 / rate) if rate else 0.04
        return float((frame.pts or 0) * self._source.time_base) + max(
            usual_s, float((frame.duration or 0) * self._source.time_base)
        )

    def _decoded(self) -> Iterator[VideoFrame]:
        """Every picture from the key frame on. A damaged packet costs its picture; pictures with made-up parts stay."""
        source = self._source
        source.video.codec_context.thread_type = "AUTO"
        source.prepare_decoder()
        for packet in self._packets:
            if packet.stream_index == source.video.index:
                yield from self._shown(packet)
            else:
                self._lay_aside(packet)
            if self._is_far_behind(packet):
                break
        yield from self._shown(None)

    def _lay_aside(self, packet: Packet) -> None:
        if packet.stream_index in self._others and packet.size:
            self._aside.append(packet)
            if (self._source.time_of(packet) or 0.0) >= self._span.end_s:
                self._sound_to_come.discard(packet.stream_index)

    def read_to_the_end_of_the_sound(self) -> None:
        """Lays aside what the file holds of the clip behind its last picture."""
        if not self._sound_to_come:
            return
        for packet in self._packets:
            self._lay_aside(packet)
            if not self._sound_to_come or self._is_far_behind(packet):
                return

    def _is_far_behind(self, packet: Packet) -> bool:
        """Whether nothing of the clip comes after this packet: pictures that are shown before one may follow it."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None or packet.time_base is None:
            return False
        return float(ticks * packet.time_base) > self._span.end_s + _SOUND_BEHIND_S

    def _shown(self, packet: Packet | None) -> list[VideoFrame]:
        source = self._source
        try:
            frames = source.video.codec_context.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:
            return []
        if source.demuxer == "avi":
            for frame in frames:
                frame.pts = frame.dts
        return [frame for frame in frames if isinstance(frame, VideoFrame)]

    def write_others(self, clip: ClipFile, zero_s: float) -> None:
        """The packets laid aside so far that belong to the clip."""
        for packet in self._earlier:
            if clip.takes(packet) and packet.pts is not None and self._source.subtitle_end(packet) > zero_s:
                clip.copy_subtitle(packet, zero_s)
        self._earlier = []
        while self._aside:
            packet = self._aside.popleft()
            time_s = self._source.time_of(packet)
            if time_s is None or time_s >= self._span.end_s:
                continue
            if time_s >= zero_s:
                clip.copy_packet(packet, zero_s)
