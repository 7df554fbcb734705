"""`vidsearch videos`: what the library holds, and what it could not read."""

from __future__ import annotations

from typing import Annotated

from vidsearch import json_forms
from vidsearch.cli import options, show
from vidsearch.cli.late import typer
from vidsearch.timecode import clock


def videos(
    under: options.Under = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that could not be read.")] = False,
    as_json: options.Json = False,
) -> None:
    """List the videos of the library: state, length, windows, file, and the reason where one failed."""
    with options.open_library() as library:
        place = options.known_place(library, under) if under else None
        rows = library.videos(place)
    if place and not rows:
        show.say(f"vidsearch: {options.nothing_under(place)}")
    if failed:
        rows = [row for row in rows if row.state == "failed"]
    if as_json:
        show.write_json({"version": json_forms.VERSION, "videos": [json_forms.video(row) for row in rows]})
        return
    show.table_or_lines(
        ("state", "length", "windows", "file", "note"),
        [
            (
                row.state,
                "" if row.duration_s is None else clock(row.duration_s),
                str(row.windows),
                show.place(row.path),
                show.without_name(row.path, row.error),
            )
            for row in rows
        ],
        right={"length": True, "windows": True},
    )
