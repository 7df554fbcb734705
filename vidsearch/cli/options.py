"""Options that several commands share: flag, then VIDSEARCH_* variable, then default."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch import places

if TYPE_CHECKING:
    from vidsearch.store.library import Library

DEFAULT_MODEL = "mobileviclip-small"


class TimeFormat(StrEnum):
    """How times are printed."""

    hms = "hms"
    seconds = "seconds"


Model = Annotated[
    str, typer.Option("--model", "-m", envvar="VIDSEARCH_MODEL", metavar="NAME", help="The model to search with.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Under = Annotated[
    Path | None, typer.Option("--under", metavar="PATH", help="Only videos in this folder, or this one file.")
]


def _known_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise typer.BadParameter(f"{name!r} is no device; choose auto, cpu, cuda, cuda:N or mps")
    return name


Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="VIDSEARCH_DEVICE",
        metavar="NAME",
        callback=_known_device,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]


def absolute(path: Path) -> Path:
    """The path as the library stores it: absolute, `~` expanded, `..` removed, symbolic links left as they are."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - Path.absolute keeps `..`, resolve follows links


def open_library(folder: Path | None = None, *, create: bool = False) -> Library:
    """The library in `VIDSEARCH_HOME`, or in a folder."""
    from vidsearch.store.library import Library

    return Library.open(folder or places.home_dir(), create=create)
