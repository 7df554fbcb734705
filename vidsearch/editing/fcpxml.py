"""A timeline as FCPXML 1.9, for Final Cut Pro and DaVinci Resolve.

Written here and not by OpenTimelineIO's adapter, which has no frame duration for exact NTSC rates and runs `ffprobe`.
Times are fractions of a second and whole frames: Apple, "FCPXML Reference".
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree

from vidsearch.editing.rates import FrameRate
from vidsearch.editing.timeline import Event, Media, Timeline


def fcpxml(timeline: Timeline) -> str:
    """The document as text."""
    root = ElementTree.Element("fcpxml", version="1.9")
    resources = ElementTree.SubElement(root, "resources")
    formats = _Formats(resources)
    lead = timeline.events[0].media
    own = formats.of(timeline.rate.rate, lead.width_px, lead.height_px)
    assets = {
        media: _asset(resources, f"a{number}", media, formats) for number, media in enumerate(timeline.media, start=1)
    }
    event = ElementTree.SubElement(ElementTree.SubElement(root, "library"), "event", name=timeline.name)
    project = ElementTree.SubElement(event, "project", name=timeline.name)
    length = sum(it.length for it in timeline.events)
    sequence = ElementTree.SubElement(
        project,
        "sequence",
        format=own,
        duration=_time(length, timeline.rate.rate),
        tcStart="0s",
        tcFormat="DF" if timeline.rate.drop else "NDF",
    )
    spine = ElementTree.SubElement(sequence, "spine")
    for it in timeline.events:
        _clip(spine, it, assets[it.media], formats, timeline.rate)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


class _Formats:
    """The formats of a document, each once."""

    def __init__(self, resources: ElementTree.Element) -> None:
        self._resources = resources
        self._known: dict[tuple[Fraction, int, int], str] = {}

    def of(self, rate: Fraction, width_px: int, height_px: int) -> str:
        """The id of a format."""
        key = (rate, width_px, height_px)
        if key not in self._known:
            self._known[key] = f"f{len(self._known) + 1}"
            ElementTree.SubElement(
                self._resources,
                "format",
                id=self._known[key],
                frameDuration=_time(1, rate),
                width=str(width_px),
                height=str(height_px),
            )
        return self._known[key]


def _asset(resources: ElementTree.Element, name: str, media: Media, formats: _Formats) -> str:
    rate = media.clock.rate.rate
    about = {
        "id": name,
        "name": _clean(media.path.stem),
        "start": _time(media.clock.first_frame, rate),
        "duration": _time(media.frames, rate),
        "hasVideo": "1",
        "videoSources": "1",
        "format": formats.of(rate, media.width_px, media.height_px),
    }
    if media.sounds:
        about |= {
            "hasAudio": "1",
            "audioSources": str(media.sounds),
            "audioChannels": "2",
            "audioRate": str(media.sound_rate_hz),
        }
    asset = ElementTree.SubElement(resources, "asset", about)
    ElementTree.SubElement(asset, "media-rep", kind="original-media", src=media.path.as_uri())
    return name


def _clip(spine: ElementTree.Element, event: Event, asset: str, formats: _Formats, rate: FrameRate) -> None:
    clock = event.media.clock
    ElementTree.SubElement(
        spine,
        "asset-clip",
        {
            "ref": asset,
            "name": _clean(event.name),
            "offset": _time(event.record, rate.rate),
            "start": _time(clock.first_frame + event.first, clock.rate.rate),
            "duration": _time(event.length, rate.rate),
            "format": formats.of(clock.rate.rate, event.media.width_px, event.media.height_px),
            "tcFormat": "DF" if clock.rate.drop else "NDF",
        },
    )


def _time(frames: int, rate: Fraction) -> str:
    """`1001/30000s` for a frame of 29.97."""
    if not frames:
        return "0s"
    return f"{frames * rate.denominator}/{rate.numerator}s"


def _clean(text: str) -> str:
    """Text that XML takes: no control characters, no lone surrogates."""
    return "".join(sign if sign.isprintable() else "_" for sign in text)
