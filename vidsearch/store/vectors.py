"""Vectors as they are stored, and the one way in which a window's score is computed.

A query is answered in two steps: a quick float32 pass or the index picks candidates, and `scores_of` says what each of
them is worth. BLAS may round a row differently in matrices of other shapes; the second step does not, so that exact
search, the index and a search below one folder give a window the same score to the last bit.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass

BYTES_PER_VALUE = 2
# How far the quick pass may be off the second one: float32 sums of 512 products of unit vectors stay below 1e-6.
QUICK_ERROR = 1e-5


@dataclass(frozen=True, slots=True)
class IdRange:
    """The ids of one video's vectors: `count` in a row from `first`. The same range always means the same vectors."""

    first: int
    count: int


def pack(vectors: NDArray[np.floating]) -> bytes:
    """(n, E) → unit length, little-endian float16, row after row."""
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"vectors must be a finite matrix, got shape {rows.shape}")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if (lengths < 1e-6).any():
        raise ValueError("a vector of length zero has no direction")
    return bytes((rows / lengths).astype("<f2"))


def unpack(blob: bytes, dim: int) -> NDArray[np.float32]:
    """The inverse of `pack`: (n, dim) float32, exact."""
    return np.frombuffer(blob, dtype="<f2").reshape(-1, dim).astype(np.float32)


def checksum(blob: bytes) -> int:
    """CRC-32 of packed vectors."""
    return zlib.crc32(blob)


def is_whole(blob: object, windows: object, dim: int, crc32: object) -> bool:
    """Whether packed vectors are what was written: `windows` rows of `dim` values with this checksum."""
    return (
        isinstance(blob, bytes)
        and isinstance(windows, int)
        and len(blob) == windows * dim * BYTES_PER_VALUE
        and isinstance(crc32, int)
        and checksum(blob) == crc32
    )


def checksum_if_sound(blob: object, windows: object, dim: object) -> int | None:
    """The checksum of packed vectors that were written without one; None if they can no longer be what was written."""
    if not (isinstance(blob, bytes) and isinstance(windows, int) and isinstance(dim, int) and dim > 0):
        return None
    if len(blob) != windows * dim * BYTES_PER_VALUE:
        return None
    # Float16 rounds each value by at most 2^-11 of itself, and so the length too; NaN is near to nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(unpack(blob, dim), axis=1)
    return checksum(blob) if np.allclose(lengths, 1, atol=2**-10) else None


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    """(E,) → the same direction at unit length; ValueError if it has none."""
    values = np.asarray(vector, dtype=np.float32)
    length = float(np.linalg.norm(values))
    if values.ndim != 1 or not np.isfinite(length) or length == 0:
        raise ValueError(f"a query must be one finite vector that is not zero, got shape {values.shape}")
    return values / length


def scores_of(rows: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, E) and (E,) → n cosines; a row's value depends on nothing but that row and the query."""
    products = np.multiply(rows, query.astype(np.float64))  # a float64 copy of the rows takes ten times as long
    return np.asarray(products.sum(axis=1), dtype=np.float64)


def candidates(quick: NDArray[np.float32], limit: int) -> NDArray[np.intp]:
    """Positions of all windows that may be among the best `limit` once they are scored properly."""
    if limit >= len(quick):
        return np.arange(len(quick), dtype=np.intp)
    edge = np.partition(quick, len(quick) - limit)[len(quick) - limit]
    return np.flatnonzero(quick >= edge - 2 * QUICK_ERROR)
