"""`vidsearch duplicates`: files that show the same."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vidsearch import json_forms
from vidsearch.cli import options, show
from vidsearch.cli.counting import Counting
from vidsearch.cli.late import typer
from vidsearch.errors import EXIT_NOTHING_FOUND
from vidsearch.models.registry import DEFAULT_MODEL
from vidsearch.timecode import clock

if TYPE_CHECKING:
    from vidsearch.workflows.duplicates import SameFile

HEADERS = ("group", "size", "length", "picture", "same", "file")


def duplicates(
    under: options.Under = None,
    model: options.Model = DEFAULT_MODEL,
    as_json: options.Json = False,
) -> None:
    """List groups of files that show the same footage: copies, and re-encoded, smaller, cropped or trimmed ones.

    The longest and largest file of a group comes first. Nothing is deleted. Exit code 1 when there are none.

    In a pipe, one line a file: group, bytes, seconds, width x height, bytes (the same as the first file's) or the
    shared part in percent, path, separated by tabs.
    """
    from vidsearch.workflows.duplicates import VideoCompared, find_duplicates

    with options.open_library() as library, Counting("videos compared") as counting:
        place = None if under is None else options.known_place(library, under)
        if place is not None and not library.videos(place):
            raise options.nothing_under(place)
        groups: list[list[SameFile]] = []
        for outcome in find_duplicates(library, model, place):
            if isinstance(outcome, VideoCompared):
                counting.at(outcome.done, outcome.total)
            else:
                groups = outcome
    if as_json:
        show.write_json({"version": json_forms.VERSION, "model": model, "groups": json_forms.duplicates(groups)})
    else:
        rows = [_row(number, file) for number, group in enumerate(groups, start=1) for file in group]
        show.table_or_lines(HEADERS, rows, right=dict.fromkeys(HEADERS[:3], True))
    _say(groups)
    if not groups:
        raise typer.Exit(EXIT_NOTHING_FOUND)


def _row(group: int, file: SameFile) -> tuple[str, ...]:
    entry, people = file.entry, sys.stdout.isatty()
    length_s = entry.duration_s or 0.0
    return (
        str(group),
        show.size_text(entry.size_bytes) if people else str(entry.size_bytes),
        clock(length_s) if people else f"{length_s:.3f}",
        f"{entry.width_px}x{entry.height_px}",
        "bytes" if file.same_bytes else f"{100 * file.share:.0f} %" if people else f"{100 * file.share:.0f}",
        show.place(entry.path),
    )


def _say(groups: list[list[SameFile]]) -> None:
    if not groups:
        show.say("No two files show the same.")
        return
    from vidsearch.workflows.duplicates import spare_bytes

    spare = sum(map(spare_bytes, groups))
    what = show.counted(len(groups), "group")
    show.say(f"{what}; all but the first file of each take {show.size_text(spare)}. Nothing was deleted.")
