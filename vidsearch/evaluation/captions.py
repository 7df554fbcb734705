"""A folder of videos with a CSV or JSONL file of captions.

Each row names a file, relative to the folder, and says what is in it: columns `file` and `caption`. A file may have
several rows; its captions are then all true of it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.files import filled_lines, json_value

CAPTION_FILES = ("captions.jsonl", "captions.csv")


@dataclass(frozen=True, slots=True)
class CaptionedClip:
    """One row of the captions: a file and a sentence; rows of one file share `number`."""

    path: Path
    caption: str
    number: int


def read_captions(folder: Path, captions: Path | None = None, *, missing_allowed: bool = False) -> list[CaptionedClip]:
    """The rows of `captions`, else of captions.jsonl or captions.csv in `folder`.

    VidsearchError if the file or a column is missing, or nothing is in it; and, unless `missing_allowed`, if a clip is.
    """
    source = captions or _captions_in(folder)
    numbers: dict[Path, int] = {}
    rows = []
    for line, (name, caption) in enumerate(_rows(source), start=1):
        path = folder / name
        if not missing_allowed and not path.is_file():
            raise VidsearchError(f"{source}, row {line}: there is no file {path}; correct the row or add the file.")
        rows.append(CaptionedClip(path, caption, numbers.setdefault(path, len(numbers))))
    if not rows:
        raise VidsearchError(f"{source} holds no captions; give it rows with a file and a caption.")
    return rows


def _captions_in(folder: Path) -> Path:
    for name in CAPTION_FILES:
        if (folder / name).is_file():
            return folder / name
    raise VidsearchError(f"{folder} has neither {' nor '.join(CAPTION_FILES)}; add one or name it with --captions.")


def _rows(source: Path) -> Iterator[tuple[str, str]]:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VidsearchError(f"{source} cannot be read as text ({error}); it must be UTF-8 CSV or JSONL.") from error
    records = (
        _json_records(source, text) if source.suffix == ".jsonl" else csv.DictReader(io.StringIO(text, newline=""))
    )
    for line, record in enumerate(records, start=1):
        name, caption = record.get("file"), record.get("caption")
        if not isinstance(name, str) or not isinstance(caption, str) or not name or not caption:
            raise VidsearchError(
                f"{source}, row {line}: a row needs the columns file and caption, both with text in them."
            )
        yield name, caption


def _json_records(source: Path, text: str) -> Iterator[dict[str, object]]:
    for line, content in filled_lines(text):
        try:
            record = json_value(content)
        except ValueError as error:
            raise VidsearchError(f"{source}, line {line} is not JSON ({error}); write one object a line.") from error
        if not isinstance(record, dict):
            raise VidsearchError(f"{source}, line {line} is not an object; write one object a line.")
        yield record
