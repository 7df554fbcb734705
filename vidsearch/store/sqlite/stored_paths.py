"""How a path is kept in the database: every name comes back byte for byte, also one that is not valid UTF-8.

`stored_values.path` is the way back.
"""

from __future__ import annotations

import os
from pathlib import Path

StoredPath = str | bytes


def to_stored(path: Path) -> StoredPath:
    """TEXT if the name is valid UTF-8, else BLOB; both hold the bytes of the file system, in every locale."""
    name = os.fsencode(path)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name


def within_sql(column: str, place: Path, *, prefix: str = "") -> tuple[str, dict[str, StoredPath]]:
    """A WHERE condition for `column` being `place` or below it, and its parameters; `prefix` begins their names.

    SQLite sorts every TEXT before every BLOB and each of them by bytes, so that "below /a" is the two ranges
    '/a/' to '/a0' ('0' follows '/'), one of each kind.
    """
    folder = os.fsencode(place).rstrip(b"/") + b"/"
    low, high = folder, folder[:-1] + b"0"
    stored = to_stored(place)
    parameters: dict[str, StoredPath] = {"place": stored, "blob_low": low, "blob_high": high}
    ranges = f"{column} = :{prefix}place OR ({column} > :{prefix}blob_low AND {column} < :{prefix}blob_high)"
    if isinstance(stored, str):  # below a folder whose own name is not UTF-8 no path is TEXT
        parameters |= {"text_low": low.decode(), "text_high": high.decode()}
        ranges += f" OR ({column} > :{prefix}text_low AND {column} < :{prefix}text_high)"
    return f"({ranges})", {prefix + name: value for name, value in parameters.items()}
