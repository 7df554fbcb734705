"""`vidsearch show`: a strip of frames of one hit, in a terminal."""

from __future__ import annotations

from typing import Annotated

from vidsearch.cli import chosen_hits, show
from vidsearch.cli.late import typer
from vidsearch.cli.open import HitNumber
from vidsearch.cli.pictures import Pictures, open_pictures
from vidsearch.timecode import clock

Frames = Annotated[int, typer.Option("--frames", "-n", min=1, max=24, help="How many frames the strip has.")]


def show_hit(number: HitNumber, pictures: Pictures = "auto", frames: Frames = 6) -> None:
    """Show a strip of frames of a hit of the last query, and where it is.

    Examples: vidsearch show 1; vidsearch show 2 -n 10 --pictures sixel
    """
    [hit] = chosen_hits.chosen([str(number)])
    drawing = open_pictures(pictures)
    if drawing is not None:
        with drawing:
            strip, times = drawing.strip(hit, frames)
        show.write_escapes(strip)
        show.say("Frames at " + " ".join(clock(time) for time in times))
    elif pictures != "never":
        show.say(f"vidsearch: No picture can be shown here; vidsearch sheet {number} -o FILE.png makes one.")
    show.table_or_lines(
        ("#", "score", "start", "end", "file"),
        [(str(hit.number), f"{hit.score:.3f}", clock(hit.start_s), clock(hit.end_s), show.place(hit.path))],
    )
