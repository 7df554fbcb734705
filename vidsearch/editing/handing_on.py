"""Hits → a file that another program reads: the kind is told by its suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidsearch.editing import edl, fcpxml, lists
from vidsearch.editing.export import check_targets, writing
from vidsearch.editing.timeline import Timeline, timeline_of
from vidsearch.errors import VidsearchError
from vidsearch.extras import needing
from vidsearch.records import Hit
from vidsearch.timecode import earlier

KINDS = {
    ".edl": "CMX 3600 edit decision list",
    ".fcpxml": "Final Cut Pro, DaVinci Resolve",
    ".otio": "OpenTimelineIO",
    ".xml": "Premiere (Final Cut Pro 7 XML)",
    ".m3u": "playlist",
    ".m3u8": "playlist",
    ".vtt": "WebVTT chapters",
    ".csv": "table",
}


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What was written, and what an editor must know about it."""

    target: Path
    events: int
    remarks: tuple[str, ...]


def check_kind(target: Path) -> str:
    """The suffix that tells the kind. VidsearchError for one that is none."""
    kind = target.suffix.lower()
    if kind not in KINDS:
        ways = [f"name it {target.stem or 'cut'}{suffix} ({what})" for suffix, what in KINDS.items()]
        raise VidsearchError(f"{target.name} does not end as a timeline or list does.", ways=ways)
    return kind


def hand_on(hits: Sequence[Hit], target: Path, *, pad_s: float = 0.0, overwrite: bool = False) -> HandedOn:
    """Writes the file, whole or not at all.

    Raises VideoError for a source that cannot be read, VidsearchError if the file is there already or cannot
    be written, MissingExtraError if its kind needs OpenTimelineIO and that is not installed.
    """
    kind = check_kind(target)
    check_targets([target], [hit.path for hit in hits], overwrite=overwrite)
    remarks: tuple[str, ...] = ()
    if kind in (".m3u", ".m3u8", ".vtt"):
        padded = [replace(hit, start_s=earlier(hit.start_s, pad_s), end_s=hit.end_s + pad_s) for hit in hits]
        text = lists.webvtt(padded) if kind == ".vtt" else lists.m3u(padded)
    else:
        write = _writer(kind)
        timeline = timeline_of(hits, target.stem, pad_s=pad_s)
        if kind == ".edl" and not edl.fits(timeline):
            raise VidsearchError(f"{target.name} holds 999 events at most, not {len(hits)}; write an .otio or .fcpxml.")
        text = write(timeline)
        remarks = tuple(timeline.remarks)
    with writing(target) as partial:
        partial.write_bytes(text.encode("utf-8", "replace"))
    return HandedOn(target, len(hits), remarks)


def _writer(kind: str) -> Callable[[Timeline], str]:
    if kind in (".otio", ".xml"):
        with needing(f"A {kind} file"):
            from vidsearch.editing import interchange

            return interchange.otio_json if kind == ".otio" else interchange.premiere_xml
    return {".edl": edl.edl, ".fcpxml": fcpxml.fcpxml, ".csv": lists.csv_table}[kind]
