"""`vidsearch remove`: forget videos; the files themselves are never touched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidsearch.cli import options, show
from vidsearch.errors import VidsearchError


def remove(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders or files to forget.")],
    as_json: options.Json = False,
) -> None:
    """Forget what the library knows of these folders or files. The files themselves are not touched."""
    folders = [options.absolute(path) for path in paths]
    with options.open_library() as library, library.writing():
        for path in folders:  # all or nothing: a misspelt one stops the rest
            if not library.videos(path):
                raise VidsearchError(f"The library holds nothing under {path}; see vidsearch videos.")
        removed = {str(path): library.remove(path) for path in folders}
    if as_json:
        show.write_json({"version": 1, "removed": removed})
    else:
        for path_text, count in removed.items():
            show.say(f"Forgot {count} video{'s' if count != 1 else ''} under {path_text}.")
