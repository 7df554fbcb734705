"""A timeline as a CMX 3600 edit decision list.

Written here and not by OpenTimelineIO's adapter, which writes every 29.97 source in drop-frame and says so nowhere. The
tests read it back with that adapter.
"""

from __future__ import annotations

from vidsearch.editing.rates import FrameRate, timecode
from vidsearch.editing.timeline import Event, Timeline
from vidsearch.video.messages import shown

_MOST_EVENTS = 999  # the number has three digits


def edl(timeline: Timeline) -> str:
    """The list as text. Record times begin at zero; source times are those of the source's own rate."""
    mode = "DROP FRAME" if timeline.rate.drop else "NON-DROP FRAME"
    lines = [f"TITLE: {timeline.name}", f"FCM: {mode}", ""]
    for number, event in enumerate(timeline.events, start=1):
        lines += _event(number, event, timeline.rate)
    return "\n".join(lines) + "\n"


def fits(timeline: Timeline) -> bool:
    """Whether the format has numbers enough."""
    return len(timeline.events) <= _MOST_EVENTS


def _event(number: int, event: Event, rate: FrameRate) -> list[str]:
    clock = event.media.clock
    channels = "AA/V" if event.media.sounds else "V"
    times = [timecode(clock.first_frame + frame, clock.rate) for frame in (event.first, event.behind)]
    times += [timecode(frame, rate) for frame in (event.record, event.record + event.length)]
    name = _one_line(event.name)
    return [
        f"{number:03d}  AX       {channels:5} C        {' '.join(times)}",
        f"* FROM CLIP NAME:  {name}",
        f"* SOURCE FILE: {_one_line(shown(event.media.path))}",
    ]


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "_" for sign in text)
