"""Annotations as records, whatever kind of file they lie in: JSON, JSON lines, CSV or Parquet.

Data sets are handed out in several of these, and hubs and mirrors name the files as they like, so a set's file is
known by what its records hold.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.evaluation.files import json_lines, json_value, read_text
from vidsearch.extras import needing

Record = Mapping[str, Any]
Fits = Callable[[Record], bool]
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")
_LARGEST_BYTES = 1 << 30


def records_of(source: Path) -> list[Record]:
    """The records of a file, in its order: rows, lines, or the objects of a JSON list.

    VidsearchError if the file cannot be read or is not in the form that its ending says.
    """
    try:
        return _read(source)
    except ValueError as error:
        raise VidsearchError(f"{source} is not readable as {source.suffix.lstrip('.')} ({error}).") from error


def json_of(source: Path) -> Any:
    """The value in a JSON file; VidsearchError if it cannot be read."""
    try:
        return json_value(read_text(source))
    except ValueError as error:
        raise VidsearchError(f"{source} is not readable as json ({error}).") from error


def find_records(data: Path, annotations: Path | None, fits: Fits, wanted: str) -> list[tuple[Path, list[Record]]]:
    """The files whose first record fits, with their records: below `data`, or `annotations`, a file or a folder.

    Files of different depth are different copies: only the least deep ones count. VidsearchError if there is none;
    `wanted` says which fields a record must have. A file of another kind below `data` may be unreadable.
    """
    place = annotations or data
    if place.is_file():
        return [(place, _fitting(records_of(place), fits, place, wanted))]
    found: list[tuple[Path, list[Record]]] = []
    for source in sorted(_candidates(place), key=lambda path: (len(path.parts), path)):
        if found and len(source.parts) > len(found[0][0].parts):
            break
        records = _tried(source)
        if records and fits(records[0]):
            found.append((source, _fitting(records, fits, source, wanted)))
    if not found:
        raise VidsearchError(f"{place} holds no JSON, CSV or Parquet file of records with {wanted}; put it there, "
                             "or name it with --annotations.")  # fmt: skip
    return found


def _candidates(place: Path) -> list[Path]:
    if not place.is_dir():
        raise VidsearchError(f"There is no {place}; name the authors' file with --annotations.")
    files = (path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return [path for path in files if path.is_file() and path.stat().st_size <= _LARGEST_BYTES]


def _fitting(records: list[Record], fits: Fits, source: Path, wanted: str) -> list[Record]:
    for number, record in enumerate(records, start=1):
        if not fits(record):
            raise VidsearchError(f"{source}, record {number}: a record needs {wanted}.")
    if not records:
        raise VidsearchError(f"{source} holds no records; a record has {wanted}.")
    return records


def _tried(source: Path) -> list[Record]:
    """The records of a file that may be of any other kind: [] if it is."""
    if source.suffix.lower() == ".parquet":
        return records_of(source)  # no set keeps anything else in one
    try:
        return _read(source)
    except (ValueError, VidsearchError):
        return []


def _read(source: Path) -> list[Record]:
    match source.suffix.lower():
        case ".parquet":
            return _parquet(source)
        case ".csv":
            return list(csv.DictReader(io.StringIO(read_text(source), newline="")))
        case ".jsonl":
            return _objects(list(json_lines(read_text(source))))
        case _:
            return _objects(json_value(read_text(source)))


def _objects(content: Any) -> list[Record]:
    """The list itself; or of an object the one list of objects that it holds, as hubs wrap records."""
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list) and value and _is_objects(value)]
        content = lists[0] if len(lists) == 1 else None
    if not isinstance(content, list) or not _is_objects(content):
        raise ValueError("no list of objects")
    return content


def _is_objects(content: list[Any]) -> bool:
    return all(isinstance(record, dict) for record in content)


def _parquet(source: Path) -> list[Record]:
    with needing(f"{source}, a Parquet file,"):
        import pyarrow.parquet as parquet
    try:
        table = parquet.read_table(source)
    except OSError as error:  # ArrowInvalid is a ValueError
        raise ValueError(str(error)) from error
    names = [name for name in table.column_names if not str(table.schema.field(name).type).startswith("struct")]
    return list(table.select(names).to_pylist())
