"""The benchmarks of captions, read in the layouts in which their authors hand them out.

    msrvtt  a JSON object with "videos" (video_id, split) and "sentences" (video_id, caption); videos videoN.mp4. The
            split is "test"; if a file has none, all of it
    folder  captions.csv or captions.jsonl with file and caption; all captions of a file are its references

Annotations and videos may lie anywhere below the data folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.captions import read_captions
from vidsearch.evaluation.files import FilesBelow
from vidsearch.evaluation.record_files import json_of, records_of


@dataclass(frozen=True, slots=True)
class Captioned:
    """A video and what people said of it; `path` None: there is no such file."""

    name: str
    references: tuple[str, ...]
    path: Path | None = None


def read_captioned(name: str, data: Path, annotations: Path | None = None) -> list[Captioned]:
    """The videos of a set in the order of the annotations.

    VidsearchError if the set is unknown, or its data are missing or not as its authors hand them out.
    """
    if name not in CAPTION_SETS:
        raise VidsearchError(f"No set of captions is called {name!r}; choose one of {', '.join(CAPTION_SETS)}.")
    if not data.is_dir():
        raise VidsearchError(f"There is no folder {data}; give the folder of the videos of {name} with --data.")
    try:
        read = list(CAPTION_SETS[name](data, annotations))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VidsearchError(f"The captions of {name} are not as its authors hand them out ({reason}).") from error
    if not read:
        raise VidsearchError(f"{annotations or data} holds no captions.")
    return read


def _msrvtt(data: Path, annotations: Path | None) -> Iterator[Captioned]:
    content = json_of(annotations) if annotations is not None else _videodatainfo(data)
    tested = {video["video_id"] for video in content["videos"] if video.get("split") == "test"}
    listed = tested or {video["video_id"] for video in content["videos"]}
    said: dict[str, list[str]] = {}
    for sentence in content["sentences"]:
        if sentence["video_id"] in listed:
            said.setdefault(sentence["video_id"], []).append(sentence["caption"])
    files = FilesBelow(data)
    for video in content["videos"]:
        name = video["video_id"]
        if name in said:
            yield Captioned(name, tuple(said[name]), files.find(name))


def _videodatainfo(data: Path) -> Any:
    """The content of the first JSON file that has videos and sentences, one with a test part before others."""
    found = []
    for source in sorted(data.rglob("*.json"), key=lambda path: (len(path.parts), path)):
        try:
            content = json_of(source)
        except VidsearchError:
            continue
        if isinstance(content, dict) and {"videos", "sentences"} <= content.keys():
            found.append(content)
    if not found:
        raise VidsearchError(
            f"{data} holds no JSON file with videos and sentences (test_videodatainfo.json); put the authors' file "
            "there, or name it with --annotations."
        )
    return next((own for own in found if any(video.get("split") == "test" for video in own["videos"])), found[0])


def _folder(data: Path, annotations: Path | None) -> Iterator[Captioned]:
    said: dict[Path, list[str]] = {}
    for row in read_captions(data, annotations, missing_allowed=True):
        said.setdefault(row.path, []).append(row.caption)
    for path, captions in said.items():
        name = str(path.relative_to(data) if path.is_relative_to(data) else path)
        yield Captioned(name, tuple(captions), path if path.is_file() else None)


def read_candidates(source: Path) -> dict[str, str]:
    """Captions that were made elsewhere, by the names of videos: {name: caption}, or records with both.

    VidsearchError if the file is neither.
    """
    content = json_of(source) if source.suffix.lower() == ".json" else records_of(source)
    if isinstance(content, dict) and all(isinstance(text, str) for text in content.values()):
        return content
    named = {}
    for number, record in enumerate(content, start=1):
        name = next((record[key] for key in ("video_id", "image_id", "file") if key in record), None)
        if name is None or not isinstance(record.get("caption"), str):
            raise VidsearchError(f"{source}, record {number}: a candidate needs video_id and caption.")
        named[str(name)] = record["caption"]
    return named


CAPTION_SETS: dict[str, Callable[[Path, Path | None], Iterator[Captioned]]] = {"msrvtt": _msrvtt, "folder": _folder}
