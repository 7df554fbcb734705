"""`vidsearch sheet`: a contact sheet of hits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from vidsearch.cli import chosen_hits, options, show
from vidsearch.cli.finding import find
from vidsearch.cli.late import typer
from vidsearch.cli.query_options import Given, Top, changed
from vidsearch.errors import EXIT_NOTHING_FOUND
from vidsearch.extras import needing
from vidsearch.machine import cores
from vidsearch.models.registry import DEFAULT_MODEL

What = Annotated[
    list[str],
    typer.Argument(metavar="QUERY|HITS...", help="Words to search for; or numbers (1-5,8), all, - (JSON lines)."),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", parser=options.given_path, metavar="FILE", help="A .png or a .pdf.")
]
Columns = Annotated[int, typer.Option("--columns", min=1, max=12, help="Pictures in a row.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]


def sheet(
    what: What,
    output: Output,
    top: Top = 24,
    columns: Columns = 4,
    model: options.Model = DEFAULT_MODEL,
    force: Force = False,
) -> None:
    """Make a contact sheet: a picture of each hit with its number, time and name, to look at or to print.

    Examples: vidsearch sheet "red car" -o cars.pdf; vidsearch sheet 1-8 -o hits.png
    """
    with needing("A contact sheet"):
        from vidsearch.editing.sheet import make_sheet

    if chosen_hits.are_hits(what):
        hits = chosen_hits.chosen(what)
        title = show.counted(len(hits), "moment")
    else:
        wanted = Given(what, shown=changed(top=top)).query()
        title = wanted.text
        hits = list(find(wanted, model, only_matching=True).hits)
    if not hits:
        show.say(f"Nothing found for {title!r}.")
        raise typer.Exit(EXIT_NOTHING_FOUND)
    target = options.absolute(output)
    for problem in make_sheet(hits, title, target, columns=columns, jobs=cores(), overwrite=force):
        show.say(f"vidsearch: {problem}")
    show.say(f"{show.counted(len(hits), 'picture')} in {show.place(target)}.")
