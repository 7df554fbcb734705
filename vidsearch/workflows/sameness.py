"""Two windows ─▶ do they show the same footage? Re-encoded, smaller, cropped a little or cut elsewhere it still is.

The vectors say that the same things are seen, the grey pictures that they are seen in the same places. docs/queries.md
has the measurement behind the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import WindowVectors

SAME_COSINE = 0.85
SAME_PICTURES = 0.8
# So much more alike than to the mirrored picture, where the picture itself is not about the same in the mirror.
UPRIGHT_BY = 0.0


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like two windows are: cosine of their vectors, correlation of their pictures, the same with one mirrored."""

    cosine: float
    pictures: float
    mirrored: float

    @property
    def is_same(self) -> bool:
        """Whether they show the same footage."""
        return (
            self.cosine >= SAME_COSINE
            and self.pictures >= SAME_PICTURES
            and self.pictures >= self.mirrored + UPRIGHT_BY
        )


def likeness(one: WindowVectors, row: int, other: WindowVectors, other_row: int) -> Likeness:
    """How like a window of one video is to a window of another. Both must have pictures."""
    assert one.pictures is not None and other.pictures is not None  # the caller asked
    mine, theirs = one.pictures[row], other.pictures[other_row]
    cosine = float(one.vectors[row] @ other.vectors[other_row])
    return Likeness(cosine, _correlation(mine, theirs), _correlation(mine, theirs[:, ::-1]))


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of the values of two pictures, -1 to 1; two pictures without any contrast are alike if they are as bright."""
    a, b = (it.astype(np.float64).ravel() for it in (one, other))
    contrast = min(a.std(), b.std())
    if contrast < 1.0:
        return 1.0 if abs(a.mean() - b.mean()) < 8 and max(a.std(), b.std()) < 2 else 0.0
    return float(np.corrcoef(a, b)[0, 1])


def same_windows(one: WindowVectors, other: WindowVectors) -> NDArray[np.bool_]:
    """(n, m): which windows of one video show the same footage as which of another. Both must have pictures."""
    near = one.vectors @ other.vectors.T >= SAME_COSINE
    same = np.zeros(near.shape, dtype=np.bool_)
    for row, column in np.argwhere(near).tolist():
        same[row, column] = likeness(one, row, other, column).is_same
    return same
