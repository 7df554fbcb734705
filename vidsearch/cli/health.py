"""`vidsearch doctor`, `check` and `rebuild`: whether everything works, and how a library is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidsearch import dirs, json_forms
from vidsearch.cli import options, show
from vidsearch.cli.late import typer
from vidsearch.errors import EXIT_LIBRARY, EXIT_MODEL

if TYPE_CHECKING:
    from vidsearch.workflows.doctor import Checked


def doctor(as_json: options.Json = False) -> None:
    """Try the decoders, the models, the device, the database and the search index: a line each.

    Exit code 4 when the library needs mending, 5 when a model, a decoder or the device does.
    """
    from vidsearch.workflows.doctor import check_up

    found: list[Checked] = []
    for checked in check_up(dirs.home_dir(), dirs.models_dir()):
        found.append(checked)
        if not as_json:
            show.write(f"{_word(checked.ok)}\t{checked.part}\t{show.one_line(checked.note)}\n")
    if as_json:
        rows = [{"part": checked.part, "ok": checked.ok, "note": checked.note} for checked in found]
        show.write_json({"version": json_forms.VERSION, "checks": rows})
    wrong = {checked.part for checked in found if checked.ok is False}
    if wrong:
        raise typer.Exit(EXIT_LIBRARY if wrong == {"library"} else EXIT_MODEL)


def _word(ok: bool | None) -> str:
    return {True: "ok", False: "WRONG", None: "-"}[ok]


def check(as_json: options.Json = False) -> None:
    """Read the whole library and name what is wrong with it. Exit code 4 when something is."""
    with options.open_library() as library:
        problems = library.check()
    if as_json:
        show.write_json({"version": json_forms.VERSION, "problems": problems})
    else:
        show.write("".join(f"{problem}\n" for problem in problems))
        show.say("The library is whole." if not problems else "Mend it with vidsearch rebuild or vidsearch index.")
    if problems:
        raise typer.Exit(EXIT_LIBRARY)


def rebuild() -> None:
    """Make the search index anew, drop rows that cannot be read, and give unused room back to the disk."""
    with options.open_library() as library:
        library.rebuild()
        facts = library.info()
    size = f"{show.size_text(facts.database_bytes)} database, {show.size_text(facts.index_bytes)} search index"
    show.say(f"Rebuilt: {size}.")
