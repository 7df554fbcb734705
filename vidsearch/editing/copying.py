"""A clip without re-encoding: the source's own packets, from the key frame before the moment on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from av.packet import Packet
from av.stream import Stream

from vidsearch.editing.clip_file import open_clip_file
from vidsearch.editing.containers import Container, containers_of, first_that_holds, held_by
from vidsearch.editing.source import Source, Span
from vidsearch.errors import VideoError
from vidsearch.video.messages import shown

_PATIENCE_S = 10.0  # how far behind the end of the moment the packets of another stream are waited for


@dataclass(frozen=True, slots=True)
class CutReport:
    """What was cut: the part of the source that the clip shows, and streams that its container does not take."""

    span: Span
    left_out: tuple[str, ...] = ()


def container_for_copy(source: Source) -> Container:
    """Where the packets of a source can go."""
    streams: list[Stream] = [source.video, *source.others]
    return first_that_holds(streams, containers_of(source.path, source.demuxer))


def copy_clip(source: Source, span: Span, target: Path, container: Container) -> Iterator[float | CutReport]:
    """Writes the clip; yields the seconds of it that are done, and at last the report.

    Raises VideoError if the source has nothing at that time or gives out; OSError if the target cannot be written.
    """
    held = held_by(container, source.others)
    earlier = source.subtitles_before(span.start_s)
    zero_s, packets = copied_packets(source, span, held)
    end_s = zero_s
    with open_clip_file(target, container, source) as clip:
        clip.copy_stream(source.video)
        for stream in held:
            clip.copy_stream(stream)
        clip.output.start_encoding()
        for packet in earlier:
            if clip.takes(packet) and packet.pts is not None and source.subtitle_end(packet) > zero_s:
                clip.copy_subtitle(packet, zero_s)
        for packet in packets:
            time_s = source.time_of(packet)
            if packet.stream_index == source.video.index and time_s is not None:
                end_s = max(end_s, time_s + float((packet.duration or 0) * source.time_base))
                yield min(time_s, span.end_s) - zero_s
            clip.copy_packet(packet, zero_s)
    if end_s <= span.start_s:
        raise nothing_there(source, span)
    left_out = tuple(f"{stream.type} {stream.index}" for stream in source.others if stream not in held)
    yield CutReport(Span(zero_s, end_s), left_out)


def copied_packets(source: Source, span: Span, others: list[Stream]) -> tuple[float, Iterator[Packet]]:
    """When the key frame before a moment is shown, and the packets from it to the end, of the video and of `others`.

    Raises VideoError if there is none, or if it lies behind the moment.
    """
    packets = source.packets_from_key_frame(span.start_s)
    key = next((packet for packet in packets if packet.stream_index == source.video.index and packet.size), None)
    zero_s = None if key is None else source.time_of(key)
    if key is None or zero_s is None or zero_s >= span.end_s:
        raise nothing_there(source, span)
    return zero_s, _within(source, key, packets, others, zero_s, span.end_s)


def nothing_there(source: Source, span: Span) -> VideoError:
    """The error for a moment at which the file has no pictures."""
    return VideoError(
        "no-frames", f"{shown(source.path)} has no pictures from {span.start_s:.1f} to {span.end_s:.1f} s; query again."
    )


def _within(
    source: Source, key: Packet, rest: Iterator[Packet], others: list[Stream], zero_s: float, end_s: float
) -> Iterator[Packet]:
    """The packets of the clip in the order of the file. `key` is the first picture, `rest` what follows it.

    Pictures are taken in the order of decoding up to the first that is decoded at the end: what is shown before the end
    may be built on a picture that is shown behind it. Those that are shown before the key frame are left out.
    """
    yield key
    waiting = {source.video.index, *(stream.index for stream in others if stream.type == "audio")}
    for packet in rest:
        time_s = source.time_of(packet)
        if time_s is None or not packet.size:
            continue
        decoded_s = float(packet.dts * packet.time_base) if packet.dts is not None and packet.time_base else time_s
        if packet.stream_index == source.video.index:
            if packet.stream_index not in waiting:
                pass
            elif decoded_s >= end_s or (time_s >= end_s and not _reorders(source)):
                waiting.discard(packet.stream_index)
            elif time_s >= zero_s:
                yield packet
        elif any(packet.stream_index == stream.index for stream in others):
            if time_s >= end_s:
                waiting.discard(packet.stream_index)
            elif time_s >= zero_s:
                yield packet
        if not waiting or decoded_s >= end_s + _PATIENCE_S:
            return


def _reorders(source: Source) -> bool:
    return source.video.codec_context.has_b_frames
