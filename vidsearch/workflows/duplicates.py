"""library ─▶ groups of files that show the same, by their content. Nothing is changed or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import VideoEntry, WindowVectors
from vidsearch.workflows.sameness import SAME_COSINE, same_windows

if TYPE_CHECKING:
    from vidsearch.store.interface import Library

# Two files show the same if so much of the shorter one is shown by the other, in the same order of time.
SAME_SHARE = 0.8
# Windows asked for around one window of each video: copies of it come first, so few do.
NEAREST = 64


@dataclass(frozen=True, slots=True)
class SameFile:
    """A file of a group. `share`: how much of the shorter of this and the group's first file both show."""

    entry: VideoEntry
    same_bytes: bool  # as the first file of its group
    share: float


@dataclass(frozen=True, slots=True)
class VideoCompared:
    """So many of the library's videos were looked at."""

    done: int
    total: int


def find_duplicates(
    library: Library, model: str, under: Path | None = None
) -> Iterator[VideoCompared | list[list[SameFile]]]:
    """Yields how far it is, and at last the groups: the largest file of each first, groups by the room they take.

    A file belongs to a group if `SAME_SHARE` of it is the same footage as another file of the group has.
    """
    paths = sorted({row.path for row in library.videos(under) if row.model == model and row.windows})
    inside = set(paths)
    links: dict[Path, dict[Path, float]] = {path: {} for path in paths}
    for done, path in enumerate(paths, start=1):
        mine = library.window_vectors(path, model=model)
        for other in _candidates(library, model, mine, inside):
            if other == path or other in links[path]:
                continue
            theirs = library.window_vectors(other, model=model)
            share = 0.0 if mine is None or theirs is None else shared(mine, theirs)
            if share >= SAME_SHARE:
                links[path][other] = links[other][path] = share
        yield VideoCompared(done, len(paths))
    yield _groups(library, links)


def shared(one: WindowVectors, other: WindowVectors) -> float:
    """Which part of the shorter of two videos the other shows, too, each second so much later or earlier."""
    if _same_content(one, other):
        return 1.0
    shorter, longer = sorted((one, other), key=lambda it: len(it.spans_s))
    if shorter.pictures is None or longer.pictures is None:
        return 0.0
    same = same_windows(shorter, longer)
    rows, columns = np.nonzero(same)
    if not len(rows):
        return 0.0
    starts, others = shorter.spans_s[:, 0], longer.spans_s[:, 0]
    later_s = others[columns] - starts[rows]
    apart_s = float(np.median(np.diff(shorter.spans_s)))
    best = max(
        np.unique(np.round(later_s, 1)), key=lambda lag: len(np.unique(rows[np.abs(later_s - lag) <= apart_s / 2]))
    )
    return len(np.unique(rows[np.abs(later_s - best) <= apart_s / 2])) / len(starts)


def _same_content(one: WindowVectors, other: WindowVectors) -> bool:
    return one.fingerprint is not None and one.fingerprint == other.fingerprint


def _candidates(library: Library, model: str, video: WindowVectors | None, inside: set[Path]) -> Iterable[Path]:
    """Videos that have a window very near to the most particular one of a video, and files of the same content."""
    if video is None:
        return ()
    found = library.search(_particular(video.vectors), model=model, limit=NEAREST)
    near = {window.path for window in found if window.score >= SAME_COSINE}
    copies = set(library.paths_of(video.fingerprint)) if video.fingerprint else set()
    return sorted((near | copies) & inside)


def _particular(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The window that is least like the video's mean: what else shows it is likely a copy."""
    return np.asarray(vectors[(vectors @ vectors.mean(axis=0)).argmin()])


def _groups(library: Library, links: dict[Path, dict[Path, float]]) -> list[list[SameFile]]:
    groups: list[list[SameFile]] = []
    left = {path for path, others in links.items() if others}
    while left:
        members, waiting = set(), [min(left)]
        while waiting:
            path = waiting.pop()
            if path not in members:
                members.add(path)
                waiting += links[path]
        left -= members
        groups.append(_group(list(library.videos_at(sorted(members)).values()), links))
    return sorted(groups, key=lambda group: (-spare_bytes(group), group[0].entry.path))


def spare_bytes(group: Sequence[SameFile]) -> int:
    """What all files but the first take on disk: another name of the same file (a hard link) takes nothing."""
    taking = {_on_disk(file.entry): file.entry.size_bytes for file in group}
    return sum(taking.values()) - taking[_on_disk(group[0].entry)]


def _on_disk(entry: VideoEntry) -> object:
    """Equal for two names of one file; a file out of reach is like no other."""
    try:
        status = entry.path.stat()
    except OSError:
        return entry.path
    return status.st_dev, status.st_ino


def _group(entries: Sequence[VideoEntry], links: dict[Path, dict[Path, float]]) -> list[SameFile]:
    ordered = sorted(entries, key=lambda entry: (-(entry.duration_s or 0.0), -entry.size_bytes, entry.path))
    first = ordered[0]
    return [
        SameFile(
            entry,
            entry is not first and entry.fingerprint is not None and entry.fingerprint == first.fingerprint,
            1.0 if entry is first else max([links[entry.path].get(first.path, 0.0), *links[entry.path].values()]),
        )
        for entry in ordered
    ]
