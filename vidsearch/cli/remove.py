"""`vidsearch remove`: forget videos, or a model's vectors; the files themselves are never touched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from vidsearch import json_forms
from vidsearch.cli import options, show
from vidsearch.cli.late import typer


def remove(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(parser=options.given_path, metavar="[PATH...]", help="Folders or files to forget."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="Forget all vectors of this model instead."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Forget what the library knows of these folders or files. The files themselves are not touched.

    With --model: free the room that a model's vectors take; those of other models stay.
    """
    if bool(paths) == (model is not None):
        raise typer.BadParameter("give PATHs to forget, or --model NAME, one of the two")
    if model is not None:
        _remove_model(model, as_json=as_json)
        return
    with options.open_library() as library, library.writing():
        folders = [options.known_place(library, path) for path in paths or ()]
        for path in folders:  # all or nothing: a misspelt one stops the rest
            if not library.videos(path) and not any(path in (root, *root.parents) for root in library.roots()):
                raise options.nothing_under(path)
        removed = {str(path): library.remove(path) for path in folders}
    if as_json:
        show.write_json({"version": json_forms.VERSION, "removed": removed})
    else:
        for path_text, count in removed.items():
            show.say(f"Forgot {show.counted(count, 'video')} under {path_text}.")


def _remove_model(model: str, *, as_json: bool) -> None:
    with options.open_library() as library:
        windows = library.remove_model(model)
    if as_json:
        show.write_json({"version": json_forms.VERSION, "model": model, "windows": windows})
    else:
        show.say(f"Forgot {windows} windows of {model}; vidsearch rebuild gives their room back to the disk.")
