"""Paths as the store compares and sorts them."""

from __future__ import annotations

import os
from pathlib import Path


def sort_key(path: Path) -> bytes:
    """An order of paths that is the same in every locale: their bytes."""
    return os.fsencode(path)


def is_within(path: Path, place: Path) -> bool:
    """Whether `path` is `place` or lies below it."""
    return path == place or place in path.parents
