"""The benchmarks of text-video retrieval, read in the layouts in which their authors hand them out.

Annotations and videos may lie anywhere below the data folder, and a video may have another ending than its name says.

    msrvtt-1ka   MSRVTT_JSFUSION_test.csv: key,vid_key,video_id,sentence; videos video8123.mp4
    didemo       test_data.json: a list of {"video", "description", …}; the descriptions of a video are one text
    activitynet  val_1.json: {"v_…": {"sentences": […]}}; the sentences of a video are one text
    lsmdc        LSMDC16_challenge_1000_publictect.csv: tab-separated, no header; first the clip, sixth the sentence
    folder       captions.csv or captions.jsonl with file and caption; several captions of one file are several texts

A set may also be given as InternVideo2's list: a JSON list of {"video": file, "caption": text or list of texts}.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.captions import read_captions
from vidsearch.evaluation.files import files_of, find_file, json_value, read_text


@dataclass(frozen=True, slots=True)
class Listed:
    """A video as the annotations name it, and its texts; `path` is None if there is no such file."""

    name: str
    texts: tuple[str, ...]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """A benchmark: what its data are called, how they are read, and how much of a video is looked at."""

    name: str
    annotations: str  # the name of the authors' file; "" for a folder with captions
    read: Callable[[Path], Iterable[tuple[str, str]]]  # → names of videos and texts, in the file's order
    paragraphs: bool = False  # all texts of a video are one, joined by spaces
    first_s: float | None = None  # only so much of a longer video


def read_set(name: str, data: Path, annotations: Path | None = None) -> list[Listed]:
    """The videos of a set with their texts, in the order of the annotations.

    `annotations` is the authors' file if it is not below `data`, or a list in InternVideo2's form. VidsearchError if
    the set is unknown, or its data are missing or not as its authors hand them out.
    """
    known = retrieval_set(name)
    if not data.is_dir():
        raise VidsearchError(f"There is no folder {data}; give the folder of the videos of {name} with --data.")
    if not known.annotations and (annotations is None or annotations.suffix != ".json"):
        rows = [(row.path, row.caption) for row in read_captions(data, annotations, missing_allowed=True)]
        names = {path: str(path.relative_to(data) if path.is_relative_to(data) else path) for path, _ in rows}
        files = {name: path if path.is_file() else None for path, name in names.items()}
        return _listed(((names[path], text) for path, text in rows), known, files)
    source = annotations or find_file(data, known.annotations)
    pairs = _read(source, known)
    if not pairs:
        raise VidsearchError(f"{source} lists no videos.")
    return _listed(pairs, known, files_of(data, {video for video, _ in pairs}))


def retrieval_set(name: str) -> RetrievalSet:
    """The set of that name; VidsearchError with the names of all sets if there is none."""
    if name not in RETRIEVAL_SETS:
        raise VidsearchError(f"No retrieval set is called {name!r}; choose one of {', '.join(RETRIEVAL_SETS)}.")
    return RETRIEVAL_SETS[name]


def _listed(pairs: Iterable[tuple[str, str]], known: RetrievalSet, files: Mapping[str, Path | None]) -> list[Listed]:
    texts: dict[str, list[str]] = {}
    for video, text in pairs:
        texts.setdefault(video, []).append(text)
    joined = {video: (" ".join(own),) if known.paragraphs else tuple(own) for video, own in texts.items()}
    return [Listed(video, own, files.get(video)) for video, own in joined.items()]


def _read(source: Path, known: RetrievalSet) -> list[tuple[str, str]]:
    """Names of videos and their texts; VidsearchError if the file cannot be read or is not in a known form."""
    try:
        if source.suffix == ".json" and _is_internvideo2(content := json_value(read_text(source))):
            return _checked(_internvideo2(content))
        return _checked(known.read(source))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VidsearchError(f"{source} is not as the authors of {known.name} hand it out ({reason}).") from error


def _checked(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    checked = list(pairs)
    for number, (video, text) in enumerate(checked, start=1):
        if not (isinstance(video, str) and video and isinstance(text, str) and text):
            raise ValueError(f"record {number} has no video or no text")
    return checked


def _is_internvideo2(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and {"video", "caption"} <= set(content[0])


def _internvideo2(content: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    pairs = []
    for record in content:
        captions = record["caption"] if isinstance(record["caption"], list) else [record["caption"]]
        pairs += [(str(record["video"]), str(caption)) for caption in captions]
    return pairs


def _msrvtt(source: Path) -> Iterable[tuple[str, str]]:
    for row in csv.DictReader(io.StringIO(read_text(source), newline="")):
        yield row["video_id"], row["sentence"]


def _didemo(source: Path) -> Iterable[tuple[str, str]]:
    for record in json_value(read_text(source)):
        yield record["video"], record["description"].strip()


def _activitynet(source: Path) -> Iterable[tuple[str, str]]:
    for video, record in json_value(read_text(source)).items():
        for sentence in record["sentences"]:
            yield video, sentence.strip()


def _lsmdc(source: Path) -> Iterable[tuple[str, str]]:
    for row in csv.reader(io.StringIO(read_text(source), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row:
            yield row[0], row[5]


RETRIEVAL_SETS = {
    each.name: each
    for each in (
        RetrievalSet("msrvtt-1ka", "MSRVTT_JSFUSION_test.csv", _msrvtt),
        RetrievalSet("didemo", "test_data.json", _didemo, paragraphs=True, first_s=30.0),
        RetrievalSet("activitynet", "val_1.json", _activitynet, paragraphs=True),
        RetrievalSet("lsmdc", "LSMDC16_challenge_1000_publictect.csv", _lsmdc),
        RetrievalSet("folder", "", lambda source: []),
    )
}
