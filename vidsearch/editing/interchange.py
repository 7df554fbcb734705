"""A timeline as OpenTimelineIO has it, and through its adapter as Premiere's XML. Needs the extra `edit`."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import opentimelineio as otio

from vidsearch.editing.rates import FrameRate, timecode
from vidsearch.editing.timeline import Event, Timeline

_PREMIERE = "fcp_xml"  # the adapter's name: Final Cut Pro 7 XML, which Premiere reads


def otio_json(timeline: Timeline) -> str:
    """An .otio file."""
    return str(otio.adapters.write_to_string(as_otio(timeline), adapter_name="otio_json", indent=2))


def premiere_xml(timeline: Timeline) -> str:
    """Final Cut Pro 7 XML. The adapter takes every source of 29.97 for drop-frame: the others are put right."""
    text = otio.adapters.write_to_string(as_otio(timeline), adapter_name=_PREMIERE)
    root = ElementTree.fromstring(text)
    clocks = {media.path.as_uri(): media.clock for media in timeline.media}
    for file in root.iter("file"):
        clock = clocks.get(file.findtext("pathurl") or "")
        code = file.find("timecode")
        if clock is not None and code is not None:
            _set(code, "string", timecode(clock.first_frame, clock.rate))
            _set(code, "displayformat", "DF" if clock.rate.drop else "NDF")
    return '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n' + ElementTree.tostring(root, encoding="unicode")


def as_otio(timeline: Timeline) -> Any:
    """An `opentimelineio.schema.Timeline` with a video track, and one for sound where a source has it."""
    whole = otio.schema.Timeline(timeline.name)
    whole.global_start_time = _time(0, timeline.rate)
    kinds = [("V1", otio.schema.TrackKind.Video)]
    if any(media.sounds for media in timeline.media):
        kinds.append(("A1", otio.schema.TrackKind.Audio))
    for name, kind in kinds:
        track = otio.schema.Track(name, kind=kind)
        for event in timeline.events:
            silent = kind == otio.schema.TrackKind.Audio and not event.media.sounds
            track.append(_gap(event) if silent else _clip(event))
        whole.tracks.append(track)
    return whole


def _clip(event: Event) -> Any:
    clock = event.media.clock
    zero = clock.first_frame
    reference = otio.schema.ExternalReference(
        target_url=event.media.path.as_uri(),
        available_range=otio.opentime.TimeRange(_time(zero, clock.rate), _time(event.media.frames, clock.rate)),
    )
    reference.name = event.name
    hit = event.hit
    about = {"number": hit.number, "start_s": hit.start_s, "end_s": hit.end_s, "variable_rate": clock.variable}
    return otio.schema.Clip(
        event.name,
        reference,
        otio.opentime.TimeRange(_time(zero + event.first, clock.rate), _time(event.behind - event.first, clock.rate)),
        metadata={"vidsearch": about},
    )


def _gap(event: Event) -> Any:
    return otio.schema.Gap(duration=_time(event.behind - event.first, event.media.clock.rate))


def _time(frames: int, rate: FrameRate) -> Any:
    return otio.opentime.RationalTime(frames, float(rate.rate))


def _set(parent: ElementTree.Element, tag: str, text: str) -> None:
    child = parent.find(tag)
    if child is not None:
        child.text = text
