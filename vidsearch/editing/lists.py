"""A timeline as plain lists: M3U for players, WebVTT chapters, CSV for tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from vidsearch.editing.rates import timecode
from vidsearch.editing.timeline import Timeline
from vidsearch.records import Hit
from vidsearch.video.messages import shown

CSV_COLUMNS = (
    "number", "file", "start_s", "end_s", "source_in", "source_out", "record_in", "record_out", "fps", "score",
)  # fmt: skip


def m3u(hits: Sequence[Hit]) -> str:
    """A playlist that VLC plays moment by moment; other players play the files from their beginning."""
    lines = ["#EXTM3U"]
    for hit in hits:
        lines += [
            f"#EXTINF:{hit.end_s - hit.start_s:.0f},{_one_line(hit.path.name)}",
            f"#EXTVLCOPT:start-time={hit.start_s:.3f}",
            f"#EXTVLCOPT:stop-time={hit.end_s:.3f}",
            hit.path.as_uri(),
        ]
    return "\n".join(lines) + "\n"


def webvtt(hits: Sequence[Hit]) -> str:
    """Chapters: of the one video that all hits are of, at its times; else of the hits one after the other."""
    lines = ["WEBVTT", ""]
    one_video = len({hit.path for hit in hits}) == 1
    at_s = 0.0
    for hit in sorted(hits, key=lambda hit: hit.start_s) if one_video else hits:
        start_s, end_s = (hit.start_s, hit.end_s) if one_video else (at_s, at_s + hit.end_s - hit.start_s)
        at_s = end_s
        title = f"{hit.number}" if one_video else f"{hit.number}. {_one_line(hit.path.stem)}"
        lines += [f"{_vtt_time(start_s)} --> {_vtt_time(end_s)}", title.replace("-->", "→"), ""]
    return "\n".join(lines)


def csv_table(timeline: Timeline) -> str:
    """A row an event, with the times in seconds and in time code."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow(CSV_COLUMNS)
    for event in timeline.events:
        clock = event.media.clock
        source = [timecode(clock.first_frame + frame, clock.rate) for frame in (event.first, event.behind)]
        record = [timecode(frame, timeline.rate) for frame in (event.record, event.record + event.length)]
        hit = event.hit
        file = shown(hit.path)
        times = (f"{hit.start_s:.3f}", f"{hit.end_s:.3f}")
        rows.writerow((hit.number, file, *times, *source, *record, f"{float(clock.rate.rate):.3f}", f"{hit.score:.4f}"))
    return out.getvalue()


def _vtt_time(seconds: float) -> str:
    milliseconds = round(max(seconds, 0.0) * 1000)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds:03d}"


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else "_" for sign in text)
