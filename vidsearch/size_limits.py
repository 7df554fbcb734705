"""Limits of size that the environment gives, in megabytes: of what is kept on disk, and of memory."""

from __future__ import annotations

import os

from vidsearch.errors import VidsearchError


def limit_from_environment(
    variable: str, default_mb: int, *, least_mb: int = 0, otherwise: str = "0 to keep nothing"
) -> int:
    """`variable` in bytes, else the default. VidsearchError, whose sentence ends in `otherwise`, for another value."""
    given = os.environ.get(variable) or str(default_mb)
    if not given.isascii() or not given.isdecimal() or int(given[:9]) < least_mb:
        raise VidsearchError(f"{variable} is {given!r}; give a whole number of megabytes, {otherwise}.")
    return int(given[:9]) * 1_000_000
