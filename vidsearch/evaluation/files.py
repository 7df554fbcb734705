"""Files of a benchmark below the folder in which a user keeps it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

from vidsearch.errors import VidsearchError
from vidsearch.video.discover import VIDEO_SUFFIXES


class OfVideo(Protocol):
    """An item of a set; `path` is None where its video is not there."""

    @property
    def path(self) -> Path | None: ...


Item = TypeVar("Item", bound=OfVideo)


def present(listed: Sequence[Item], benchmark: str, data: Path, what: str = "") -> list[tuple[Item, Path]]:
    """The items whose video is there, and its path. VidsearchError if none is. `what`: items, if not videos."""
    found = [(item, item.path) for item in listed if item.path is not None]
    if not found:
        items = f"videos of {len(listed)} {what}" if what else f"{len(listed)} videos"
        raise VidsearchError(f"None of the {items} of {benchmark} is below {data}.")
    return found


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


def json_value(text: str) -> Any:
    """The value of a JSON text; ValueError if it is none, also where it is nested beyond all measure."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists and objects are nested too deeply") from None


def filled_lines(text: str) -> Iterator[tuple[int, str]]:
    """The number and the text of each line that is not empty.

    Texts in JSON may hold what Python's `splitlines` takes for an end of line as well, as U+2028.
    """
    return ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())


def json_lines(text: str) -> Iterator[Any]:
    """The value of each line that is not empty; ValueError where it is no JSON."""
    return (json_value(line) for _, line in filled_lines(text))


def version_of(path: Path) -> str:
    """What changes when a file does: its size and time; of a folder also its number of entries."""
    state = path.stat()
    entries = f"-{sum(1 for _ in path.iterdir())}" if path.is_dir() else ""
    return f"{state.st_size}-{state.st_mtime_ns}{entries}"


def files_of(data: Path, names: Iterable[str]) -> dict[str, Path | None]:
    """The file of each name below `data`; see `FilesBelow.find`."""
    files = FilesBelow(data)
    return {name: files.find(name) for name in names}


class FilesBelow:
    """All files below a folder, walked once, to be found by the names that annotations use."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._folders: dict[str, list[Path]] = {}
        for folder, folders, files in os.walk(data):
            folders.sort()
            for name in folders:
                self._folders.setdefault(name, []).append(Path(folder, name))
            for file in sorted(files):
                path = Path(folder, file)
                self._by_name.setdefault(file, []).append(path)
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    self._by_stem.setdefault(path.stem, []).append(path)

    def find(self, name: str, within: Sequence[str] = (), *, frames: bool = False) -> Path | None:
        """The path itself, else a file of that name, else a video with that stem; None if there is none.

        Sets name files with or without an ending, and mirrors change endings; a name may even end in a bare full stop.
        Of several files that whose path has a part of `within` comes first. With `frames` a folder of pictures serves,
        too.
        """
        base = PurePosixPath(name).name
        stem = base.rstrip(".") if base.endswith(".") else os.path.splitext(base)[0]  # noqa: PTH122  # of a name
        whole = self.data / name
        for found in (
            [whole] if name and whole.is_file() else [],
            self._by_name.get(base, []),
            self._by_stem.get(base.rstrip("."), []),
            self._by_stem.get(stem, []),
            self._folders.get(base, []) if frames else [],
        ):
            if found:
                return next((path for part in within for path in found if part in self._below(path)), found[0])
        return None

    def _below(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.data).parts
