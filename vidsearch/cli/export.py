"""`vidsearch export`: hits to clips, or to a timeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from vidsearch import json_forms
from vidsearch.cli import chosen_hits, options, show
from vidsearch.cli.late import typer
from vidsearch.timecode import FARTHEST_S, clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidsearch.editing.export import ClipWritten, CutOptions
    from vidsearch.records import Hit

HEADERS = ("#", "start", "end", "more", "file")

Folder = Annotated[
    Path | None, typer.Option("--to", parser=options.given_path, metavar="DIR", help="Write a clip of each hit here.")
]
TimelineFile = Annotated[
    Path | None,
    typer.Option(
        "--timeline",
        parser=options.given_path,
        metavar="FILE",
        help="Write a timeline: .edl, .fcpxml, .otio, .xml (Premiere), .m3u, .vtt or .csv.",
    ),
]
Join = Annotated[
    Path | None,
    typer.Option("--join", parser=options.given_path, metavar="FILE", help="Write all hits as one .mp4, .mov or .mkv."),
]
Pad = Annotated[
    float,
    typer.Option("--pad", min=0, max=FARTHEST_S, metavar="SECONDS", help="So much more before and after each hit."),
]
Copy = Annotated[
    bool,
    typer.Option(
        "--copy/--precise",
        help="Without re-encoding, from the key frame before (a few seconds more); or encoded anew, to the frame.",
    ),
]
Audio = Annotated[Literal["keep", "drop"], typer.Option("--audio", help="Sound of the clips.")]
Sort = Annotated[Literal["rank", "time"], typer.Option("--sort", help="What the names of the clips sort by.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


def export(
    hits: chosen_hits.Hits,
    folder: Folder = None,
    timeline: TimelineFile = None,
    joined: Join = None,
    pad: Pad = 0.0,
    copy: Copy = True,
    audio: Audio = "keep",
    sort: Sort = "rank",
    force: Force = False,
    as_json: options.Json = False,
) -> None:
    """Cut hits into files, or hand them on to an editing program as a timeline.

    Sound, subtitles, rotation, colour and recording date are kept. Your videos are only read.

    Examples: vidsearch export 1-3 --to clips --pad 1; vidsearch export all --to clips --precise;
    vidsearch export all --timeline cut.fcpxml; vidsearch query --jsonl "red car" | vidsearch export - --to clips
    """
    from vidsearch.editing.export import CutOptions
    from vidsearch.editing.handing_on import check_kind
    from vidsearch.editing.joining import container_of

    if folder is None and timeline is None and joined is None:
        raise typer.BadParameter("say where the clips go: --to DIR, or write a --timeline FILE or --join FILE")
    if folder is None and as_json:
        raise typer.BadParameter("--json tells of clips; it goes with --to DIR")
    if timeline is not None:
        check_kind(timeline)
    if joined is not None:
        container_of(joined)
    wanted = CutOptions("copy" if copy else "precise", pad, audio == "keep", sort, force)
    found = chosen_hits.chosen(hits)
    if timeline is not None:
        _write_timeline(found, options.absolute(timeline), wanted)
    if joined is not None:
        _join(found, options.absolute(joined), wanted)
    if folder is not None:
        _export_clips(found, options.absolute(folder), wanted, as_json=as_json)


def _write_timeline(hits: list[Hit], target: Path, wanted: CutOptions) -> None:
    from vidsearch.editing.export import ordered
    from vidsearch.editing.handing_on import hand_on

    done = hand_on(ordered(hits, wanted.order), target, pad_s=wanted.pad_s, overwrite=wanted.overwrite)
    for remark in done.remarks:
        show.say(f"vidsearch: {remark}")
    show.say(f"{show.counted(done.events, 'moment')} in {show.place(target)}.")


def _join(hits: list[Hit], target: Path, wanted: CutOptions) -> None:
    from vidsearch.editing.joining import Joined, join

    with progress(sum(hit.end_s - hit.start_s + 2 * wanted.pad_s for hit in hits)) as advance:
        for outcome in join(hits, target, wanted):
            if not isinstance(outcome, Joined):
                advance(outcome.done_s)
                continue
            moments = show.counted(outcome.moments, "moment")
            more = f", {outcome.lead_s:.1f} s of them more, before key frames" if outcome.lead_s >= 0.05 else ""
            show.say(f"{moments} in {show.place(target)}: {clock(outcome.length_s)}{more}.")


def _export_clips(hits: list[Hit], folder: Path, wanted: CutOptions, *, as_json: bool) -> None:
    from vidsearch.editing.export import ClipWritten, export_clips, plan_clips

    clips = plan_clips(hits, folder, wanted)
    written: list[ClipWritten] = []
    length_s = sum(clip.span.length_s for clip in clips)
    with progress(length_s) as advance:
        before_s = 0.0
        for outcome in export_clips(clips, wanted):
            if isinstance(outcome, ClipWritten):
                before_s += outcome.clip.span.length_s
                written.append(outcome)
                if not as_json:
                    _show(outcome, first=len(written) == 1)
            advance(before_s + (0.0 if isinstance(outcome, ClipWritten) else outcome.done_s))
    if as_json:
        show.write_json({"version": json_forms.VERSION, "clips": [_form(it) for it in written]})
    _say_what_is_more(written, encoded=wanted.mode == "precise")


def _show(done: ClipWritten, *, first: bool) -> None:
    report = done.report
    more = f"{done.lead_s:.1f}"
    row = (
        str(done.clip.hit.number),
        clock(report.span.start_s),
        clock(report.span.end_s),
        more,
        show.place(done.clip.target),
    )
    headers = HEADERS if first else ("",) * len(HEADERS)
    show.table_or_lines(headers, [row], right=dict.fromkeys(HEADERS[:4], True))


def _form(done: ClipWritten) -> dict[str, Any]:
    """A clip for docs/json.md."""
    return {
        "number": done.clip.hit.number,
        "source": json_forms.name_text(done.clip.hit.path),
        "path": json_forms.name_text(done.clip.target),
        "start_s": round(done.report.span.start_s, 3),
        "end_s": round(done.report.span.end_s, 3),
        "lead_s": round(done.lead_s, 3),
        "left_out": list(done.report.left_out),
    }


def _say_what_is_more(written: list[ClipWritten], *, encoded: bool) -> None:
    leads = [it.lead_s for it in written if it.lead_s >= 0.05]
    if leads and not encoded:  # what is encoded begins with the picture shown there, however long it stands
        clips = "1 clip begins" if len(leads) == 1 else f"{len(leads)} clips begin"
        show.say(
            f"{clips} up to {max(leads):.1f} s early, at a key frame; --precise cuts to the frame and encodes anew."
        )
    for it in written:
        if it.report.left_out:
            show.say(f"{it.clip.target.name} is without: {', '.join(it.report.left_out)} (its kind of file has none).")


@contextmanager
def progress(length_s: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr if that is a terminal; what it gives takes the seconds that are done."""
    if not sys.stderr.isatty():
        yield lambda done_s: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Cutting"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=max(length_s, 0.001))
        yield lambda done_s: bar.update(task, completed=done_s)
