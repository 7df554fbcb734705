"""The benchmarks of moments in videos, read in the layouts in which their authors hand them out.

    qvhighlights  highlight_val_release.jsonl: a JSON object a line, qid, query, duration, vid, relevant_windows,
                  relevant_clip_ids, saliency_scores; videos VID.mp4
    charades-sta  charades_sta_test.txt: lines "AB1CD 3.2 9.8##person opens the window."; videos AB1CD.mp4

Annotations and videos may lie anywhere below the data folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.files import FilesBelow, json_lines, read_text
from vidsearch.evaluation.grounding import Window

CLIP_S = 2.0  # of the clips that people rated


@dataclass(frozen=True, slots=True)
class GroundingQuery:
    """A sentence about moments of a video; `path` None: there is no such file.

    `saliency` are the scores, 0 to 4, that three people gave each clip of 2 s, (L, 3); None where nobody was asked.
    """

    id: str
    text: str
    video: str
    windows: tuple[Window, ...]  # those that are right, in seconds
    saliency: NDArray[np.int64] | None = None
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class GroundingSet:
    """A benchmark: the names of its authors' file, the one looked for first, and how it is read."""

    name: str
    annotations: tuple[str, ...]
    read: Callable[[Path], Iterator[GroundingQuery]]


def read_grounding(name: str, data: Path, annotations: Path | None = None) -> list[GroundingQuery]:
    """The queries of a set in the order of the file.

    VidsearchError if the set is unknown, or its data are missing or not as its authors hand them out.
    """
    if name not in GROUNDING_SETS:
        raise VidsearchError(f"No grounding set is called {name!r}; choose one of {', '.join(GROUNDING_SETS)}.")
    known = GROUNDING_SETS[name]
    if not data.is_dir():
        raise VidsearchError(f"There is no folder {data}; give the folder of the videos of {name} with --data.")
    source = annotations or _annotations(data, known)
    try:
        queries = [_checked(query) for query in known.read(source)]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VidsearchError(f"{source} is not as the authors of {name} hand it out ({reason}).") from error
    if not queries:
        raise VidsearchError(f"{source} lists no queries.")
    files = FilesBelow(data)
    return [replace(own, path=files.find(own.video)) for own in queries]


def _checked(query: GroundingQuery) -> GroundingQuery:
    if not (isinstance(query.video, str) and query.video and isinstance(query.text, str) and query.text.strip()):
        raise ValueError(f"query {query.id} has no video or no text")
    if not all(math.isfinite(time) for window in query.windows for time in window):
        raise ValueError(f"a window of query {query.id} has no times")
    return query


def _annotations(data: Path, known: GroundingSet) -> Path:
    for pattern in known.annotations:
        found = sorted(data.rglob(pattern), key=lambda path: (len(path.parts), path))
        if found:
            return found[0]
    names = f"{known.annotations[0]} (nor {', '.join(known.annotations[1:])})"
    raise VidsearchError(f"{data} holds no {names}; put the authors' file there, or name it with --annotations.")


def _qvhighlights(source: Path) -> Iterator[GroundingQuery]:
    for record in json_lines(read_text(source)):
        windows = _windows(record["relevant_windows"])
        yield GroundingQuery(str(record["qid"]), record["query"], record["vid"], windows, _saliency(record))


def _saliency(record: Mapping[str, Any]) -> NDArray[np.int64] | None:
    """Clips outside the relevant ones have score 0."""
    if "saliency_scores" not in record:
        return None
    scores = np.zeros((int(record["duration"] / CLIP_S), 3), np.int64)
    scores[np.array(record["relevant_clip_ids"], np.int64)] = np.array(record["saliency_scores"], np.int64)
    return scores


def _windows(value: Sequence[Sequence[float]]) -> tuple[Window, ...]:
    if not value:
        raise ValueError("a query without relevant_windows, as of the test part without its truth")
    return tuple((float(start), float(end)) for start, end in value)


def _charades(source: Path) -> Iterator[GroundingQuery]:
    for number, line in enumerate(read_text(source).splitlines()):
        if line.strip():
            where, text = line.split("##", 1)
            video, start, end = where.split()
            yield GroundingQuery(str(number), text.strip(), video, ((float(start), float(end)),))


GROUNDING_SETS = {
    each.name: each
    for each in (
        GroundingSet(
            "qvhighlights",
            ("highlight_val*.jsonl", "highlight_test_with_gt.jsonl", "highlight*.jsonl"),
            _qvhighlights,
        ),
        GroundingSet("charades-sta", ("charades_sta_test.txt", "*sta*test*.txt"), _charades),
    )
}
