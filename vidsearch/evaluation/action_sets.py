"""The benchmarks of action recognition, read in the layouts in which their authors hand them out.

Lists and videos may lie anywhere below the data folder.

    kinetics400  val.csv: label,youtube_id,time_start,time_end,split; ID_000031_000041.mp4
    hmdb51       CLASS_test_split1.txt … 3: lines "name.avi 2", of which 2 is the test part; name.avi
    ucf101       testlist01.txt … 03: lines "CLASS/v_CLASS_g01_c01.avi"
    folder       a subfolder a class

A set may also be given as InternVideo2's list: a JSON list of {"video": file, "caption": class}.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.files import files_of, find_file, json_value, read_text
from vidsearch.video.discover import VIDEO_SUFFIXES


@dataclass(frozen=True, slots=True)
class ActionVideo:
    """A video of the test part, the number of its class, and the splits that test it; `path` None: there is no file."""

    name: str
    label: int
    splits: tuple[int, ...]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class ActionTest:
    """The classes of a set, as they are said, and its videos."""

    classes: tuple[str, ...]
    videos: tuple[ActionVideo, ...]


Read = Callable[[Path, Path | None], Iterable[tuple[str, str, int]]]  # → name of a video, its class, its split


def read_actions(name: str, data: Path, annotations: Path | None = None) -> ActionTest:
    """The classes and videos of a set. All classes of the authors' list count, also those of which no video is here.

    VidsearchError if the set is unknown, or its data are missing or not as its authors hand them out.
    """
    if name not in ACTION_SETS:
        raise VidsearchError(f"No action set is called {name!r}; choose one of {', '.join(ACTION_SETS)}.")
    if not data.is_dir():
        raise VidsearchError(f"There is no folder {data}; give the folder of the videos of {name} with --data.")
    try:
        read = _internvideo2 if annotations is not None and annotations.suffix == ".json" else ACTION_SETS[name]
        rows = list(read(data, annotations))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise VidsearchError(f"The lists of {name} are not as its authors hand them out ({reason}).") from error
    if not rows:
        raise VidsearchError(f"{data} lists no videos of {name}.")
    return _test(rows, files_of(data, {video for video, _, _ in rows}))


def class_text(label: str) -> str:
    """How a class is said: blanks for underscores, as text is simplified only after that; words of CamelCase apart."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return apart.replace("_", " ").strip()


def _test(rows: list[tuple[str, str, int]], files: Mapping[str, Path | None]) -> ActionTest:
    labels = sorted({label for _, label, _ in rows})
    splits: dict[tuple[str, str], list[int]] = {}
    for video, label, split in rows:
        splits.setdefault((video, label), []).append(split)
    videos = tuple(
        ActionVideo(video, labels.index(label), tuple(own), files[video]) for (video, label), own in splits.items()
    )
    return ActionTest(tuple(class_text(label) for label in labels), videos)


def _internvideo2(data: Path, annotations: Path | None) -> Iterable[tuple[str, str, int]]:
    """[{"video": file, "caption": class}]: the classes are those that it names."""
    assert annotations is not None  # it is read only if it is given
    for record in json_value(read_text(annotations)):
        yield str(record["video"]), str(record["caption"]), 1


def _kinetics(data: Path, annotations: Path | None) -> Iterable[tuple[str, str, int]]:
    source = annotations or find_file(data, "val.csv")
    for row in csv.DictReader(io.StringIO(read_text(source), newline="")):
        start, end = int(row["time_start"]), int(row["time_end"])
        yield f"{row['youtube_id']}_{start:06d}_{end:06d}.mp4", row["label"], 1


def _hmdb(data: Path, annotations: Path | None) -> Iterable[tuple[str, str, int]]:
    folder = annotations or find_file(data, "*_test_split1.txt").parent
    for source in sorted(folder.glob("*_test_split[123].txt")):
        label, split = re.fullmatch(r"(.+)_test_split([123])", source.stem).groups()  # type: ignore[union-attr]
        for line in read_text(source).splitlines():
            if line.strip():
                video, part = line.strip().rsplit(maxsplit=1)
                if part == "2":
                    yield video.strip(), label, int(split)


def _ucf(data: Path, annotations: Path | None) -> Iterable[tuple[str, str, int]]:
    folder = annotations or find_file(data, "testlist01.txt").parent
    for split in (1, 2, 3):
        source = folder / f"testlist0{split}.txt"
        if source.is_file():
            for line in read_text(source).splitlines():
                if line.strip():
                    video = line.split()[0]
                    yield video, video.split("/")[-2], split


def _folder(data: Path, annotations: Path | None) -> Iterable[tuple[str, str, int]]:
    for folder in sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
                yield str(path.relative_to(data)), folder.name, 1


ACTION_SETS: dict[str, Read] = {"kinetics400": _kinetics, "hmdb51": _hmdb, "ucf101": _ucf, "folder": _folder}
