"""Hits → the events of a timeline: which frames of which source, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream

from vidsearch.editing.process import CuttingProcess
from vidsearch.editing.rates import FrameRate, SourceClock, frame_of, is_variable, near_standard
from vidsearch.editing.source import Source, Span, open_source
from vidsearch.errors import VideoError
from vidsearch.records import Hit
from vidsearch.video.header import packets_of
from vidsearch.video.messages import shown

_LOOKED_AT = 250  # pictures, at the beginning and at each moment: do they follow at one rate?


@dataclass(frozen=True, slots=True)
class Media:
    """A source as editing programs need to know it."""

    path: Path
    clock: SourceClock
    frames: int  # as many as its length holds
    width_px: int  # upright
    height_px: int
    sounds: int
    sound_rate_hz: int


@dataclass(frozen=True, slots=True)
class Event:
    """Frames [first, behind) of a source, counted from its first one, and where they begin in the timeline.

    `record` and `length` count frames of the timeline; `first` and `behind` those of the source.
    """

    hit: Hit
    media: Media
    first: int
    behind: int
    record: int
    length: int

    @property
    def name(self) -> str:
        """The source's, as text."""
        return shown(Path(self.media.path.name))


@dataclass(frozen=True, slots=True)
class Timeline:
    """Events in a row, without gaps. Its rate is that of most of its sources."""

    name: str
    rate: FrameRate
    events: tuple[Event, ...]

    @property
    def media(self) -> list[Media]:
        """Each source once."""
        return list(dict.fromkeys(event.media for event in self.events))

    @property
    def remarks(self) -> list[str]:
        """What an editor must know: sources of variable or of another rate."""
        said = []
        for media in self.media:
            rate = f"{float(media.clock.rate.rate):.3f}".rstrip("0").rstrip(".")
            if media.clock.variable:
                said.append(
                    f"{shown(media.path)} has a variable frame rate: its frames are counted at {rate} a second, and an "
                    "editing program that counts otherwise cuts elsewhere."
                )
            elif media.clock.rate.rate != self.rate.rate:
                own = f"{float(self.rate.rate):.3f}".rstrip("0").rstrip(".")
                said.append(f"{shown(media.path)} has {rate} frames a second, the timeline {own}.")
        return said


def timeline_of(hits: Sequence[Hit], name: str, *, pad_s: float = 0.0) -> Timeline:
    """The hits in their order; sources are read in a process of its own.

    Raises VideoError for a source that cannot be read, that brings this process down, or that has nothing at a time.
    """
    spans = [Span.around(hit, pad_s) for hit in hits]
    spans_of: dict[Path, list[Span]] = {}
    for hit, span in zip(hits, spans, strict=True):
        spans_of.setdefault(hit.path, []).append(span)
    media: dict[Path, Media] = {}
    with CuttingProcess.over(spans_of) as process:
        for path, wanted in spans_of.items():
            [media[path]] = process.run(shown(path), media_of, path, wanted)
    counts = Counter(media[hit.path].clock.rate for hit in hits)
    rate = counts.most_common(1)[0][0]
    events = []
    record = 0
    for hit, span in zip(hits, spans, strict=True):
        clock = media[hit.path].clock
        first = clock.frame_at(span.start_s)
        behind = min(clock.frame_from(span.end_s), media[hit.path].frames)
        if behind <= first:
            raise VideoError(
                "no-frames",
                f"{shown(hit.path)} has no pictures from {span.start_s:.1f} to {span.end_s:.1f} s; query again.",
            )
        length = max(1, round((behind - first) * rate.rate / clock.rate.rate))
        events.append(Event(hit, media[hit.path], first, behind, record, length))
        record += length
    return Timeline(name, rate, tuple(events))


def media_of(path: Path, spans: Sequence[Span]) -> Iterator[Media]:
    """A source as editing programs need to know it, alone: work for a process."""
    with open_source(path, sound=True) as source:
        video = source.video
        measured = video.base_rate or video.average_rate or video.guessed_rate or Fraction(25)
        average = video.average_rate or measured
        if abs(measured - average) > average / 100:  # the finest step of the stamps is no rate of pictures
            measured = average
        rate = near_standard(measured)
        length_s = _length_s(source)
        context = video.codec_context
        sounds = [stream for stream in source.others if isinstance(stream, AudioStream)]
        start_s = float((video.start_time or 0) * source.time_base)
        stated = _stated_timecode(source)
        known = frame_of(stated, rate) if stated is not None else None
        frame, drop = known or (0, FrameRate(rate).can_drop)
        turned = source.header.rotation_deg % 180 != 0
        width, height = (context.height, context.width) if turned else (context.width, context.height)
        clock = SourceClock(
            FrameRate(rate, drop), start_s, frame, stated if known else None, _varies(source, rate, spans)
        )
        yield Media(
            path,
            clock,
            max(1, round(length_s * float(rate))),
            width,
            height,
            len(sounds),
            sounds[0].codec_context.sample_rate if sounds else 48_000,
        )


def _length_s(source: Source) -> float:
    if source.video.duration:
        return float(source.video.duration * source.time_base)
    if source.container.duration:
        return source.container.duration / av.time_base
    last_s = 0.0
    for packet in packets_of(source.container, source.video):  # a file that states no length
        last_s = max(last_s, source.time_of(packet) or 0.0)
    return last_s + 0.05


def _stated_timecode(source: Source) -> str | None:
    """The file's time code, which containers keep with the video, with a track of its own, or with the whole."""
    tags = [source.video.metadata, *(stream.metadata for stream in source.container.streams), source.container.metadata]
    return next((value for tag in tags for key, value in tag.items() if key.lower() == "timecode"), None)


def _varies(source: Source, rate: Fraction, spans: Sequence[Span]) -> bool:
    """Whether the pictures of the beginning, or of one of the moments, do not follow each other at the rate."""
    tick_s = float(source.time_base)
    average = source.video.average_rate
    if average and abs(average - rate) > rate / 50:
        return True
    return any(is_variable(_times(source, start_s), rate, tick_s) for start_s in {0.0, *(it.start_s for it in spans)})


def _times(source: Source, from_s: float) -> list[float]:
    """When the next pictures are shown, ascending; the last ones are left out, since others may come between."""
    times: list[float] = []
    for packet in source.packets_from_key_frame(max(from_s, float((source.video.start_time or 0) * source.time_base))):
        if packet.stream_index == source.video.index and (time_s := source.time_of(packet)) is not None:
            times.append(time_s)
            if len(times) >= _LOOKED_AT:
                break
    first_s = times[0] if times else 0.0
    return sorted(time_s for time_s in times if time_s >= first_s)[: -17 if len(times) >= _LOOKED_AT else None]
