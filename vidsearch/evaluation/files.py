"""Files of a benchmark below the folder in which a user keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vidsearch.errors import VidsearchError
from vidsearch.video.discover import VIDEO_SUFFIXES


def find_file(data: Path, pattern: str) -> Path:
    """The authors' file of that name, or the first that fits the pattern, however deep; VidsearchError if none is."""
    found = sorted(data.rglob(pattern), key=lambda path: (len(path.parts), path))
    if not found:
        raise VidsearchError(f"{data} holds no {pattern}; put the authors' file there, or name it with --annotations.")
    return found[0]


def read_text(source: Path) -> str:
    """The text of an authors' file; VidsearchError if it cannot be read."""
    try:
        return source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VidsearchError(f"{source} cannot be read as text ({error}).") from error


def files_of(data: Path, names: Iterable[str]) -> dict[str, Path | None]:
    """The file of each name below `data`: the path itself, else a file of that name, else a video with that stem.

    Sets name files with or without an ending, and mirrors change endings; a name may even end in a bare full stop.
    """
    by_name: dict[str, Path] = {}
    by_stem: dict[str, Path] = {}
    for folder, folders, files in os.walk(data):
        folders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            by_name.setdefault(file, path)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                by_stem.setdefault(path.stem, path)
    found: dict[str, Path | None] = {}
    for name in names:
        base = PurePosixPath(name).name
        stem = base.rstrip(".") if base.endswith(".") else os.path.splitext(base)[0]  # noqa: PTH122  # of a name
        whole = data / name
        here = whole if whole.is_file() else None
        found[name] = here or by_name.get(base) or by_stem.get(base.rstrip(".")) or by_stem.get(stem)
    return found
