"""`vidsearch videos`: what the library holds, and what it could not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch.cli import options, show
from vidsearch.timecode import clock

if TYPE_CHECKING:
    from vidsearch.records import VideoRow


def videos(
    under: options.Under = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that could not be read.")] = False,
    as_json: options.Json = False,
) -> None:
    """List the videos of the library: state, length, windows, file, and the reason where one failed."""
    with options.open_library() as library:
        rows = library.videos(options.absolute(under) if under else None)
    if failed:
        rows = [row for row in rows if row.state == "failed"]
    if as_json:
        show.write_json({"version": 1, "videos": [as_dict(row) for row in rows]})
        return
    show.table_or_lines(
        ("state", "length", "windows", "file", "note"),
        [
            (
                row.state,
                "" if row.duration_s is None else clock(row.duration_s),
                str(row.windows),
                str(row.path),
                row.error or "",
            )
            for row in rows
        ],
        right={"length": True, "windows": True},
    )


def as_dict(row: VideoRow) -> dict[str, Any]:
    """The stable JSON form of a video; documented in docs/json.md."""
    return {
        "path": str(row.path),
        "state": row.state,
        "error": row.error,
        "error_kind": row.error_kind,
        "duration_s": None if row.duration_s is None else round(row.duration_s, 3),
        "windows": row.windows,
        "reader": row.reader,
        "model": row.model,
    }
