"""Two windows ─▶ do they show the same footage? Re-encoded, smaller, cropped a little or cut elsewhere it still is.

The vectors say that the same things are seen, the grey pictures that they are seen in the same places. docs/queries.md
has the measurement behind the thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.records import PICTURE_SIDE, WindowVectors

SAME_COSINE = 0.85
SAME_PICTURES = 0.8
# So much more alike than to the mirrored picture, where the picture itself is not about the same in the mirror.
UPRIGHT_BY = 0.0

_ROUNDING = 1e-9  # a picture that is its own mirror image is as like both ways
_LEAST_CONTRAST = 1.0  # standard deviation of grey values, below which a picture shows nothing to compare
_ROWS_AT_ONCE = 512  # of the windows of one video against all of another


@dataclass(frozen=True, slots=True)
class Footage:
    """What windows show: (n, E) vectors of unit length, (n, 8, 8) grey pictures."""

    vectors: NDArray[np.float32]
    pictures: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like windows are, (n, m) each: cosine of vectors, correlation of pictures, the same with one mirrored."""

    cosine: NDArray[np.float32]
    pictures: NDArray[np.float64]
    mirrored: NDArray[np.float64]

    @property
    def is_same(self) -> NDArray[np.bool_]:
        """(n, m): whether they show the same footage."""
        upright = self.pictures >= self.mirrored + UPRIGHT_BY - _ROUNDING
        return np.asarray((self.cosine >= SAME_COSINE) & (self.pictures >= SAME_PICTURES) & upright)


def likeness(one: Footage, other: Footage) -> Likeness:
    """How like each of n windows is to each of m others."""
    mine, theirs = _Greys.of(one.pictures), _Greys.of(other.pictures)
    return Likeness(one.vectors @ other.vectors.T, _correlations(mine, theirs), _correlations(mine, theirs.mirrored()))


def same_windows(one: WindowVectors, other: WindowVectors) -> NDArray[np.bool_]:
    """(n, m): which windows of one video show the same footage as which of another. Both must have pictures."""
    assert one.pictures is not None and other.pictures is not None  # the caller asked
    all_of_other = Footage(other.vectors, other.pictures)
    blocks = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(one.vectors), _ROWS_AT_ONCE)]
    same = [likeness(Footage(one.vectors[block], one.pictures[block]), all_of_other).is_same for block in blocks]
    return np.concatenate([np.empty((0, len(other.vectors)), dtype=np.bool_), *same])


@dataclass(frozen=True, slots=True)
class _Greys:
    """Pictures to compare, one a row. `standardised` (n, 64): less their mean, by their standard deviation."""

    standardised: NDArray[np.float64]
    contrast: NDArray[np.float64]  # (n,), their standard deviation
    brightness: NDArray[np.float64]  # (n,), their mean

    @classmethod
    def of(cls, pictures: NDArray[np.uint8]) -> _Greys:
        """(n, 8, 8)."""
        values = pictures.reshape(len(pictures), -1).astype(np.float64)
        contrast, brightness = values.std(axis=1), values.mean(axis=1)
        spread = np.maximum(contrast, _LEAST_CONTRAST / 2)
        return cls((values - brightness[:, None]) / spread[:, None], contrast, brightness)

    def mirrored(self) -> _Greys:
        """The same pictures with left and right exchanged, which changes neither mean nor deviation."""
        rows = self.standardised.reshape(len(self.standardised), PICTURE_SIDE, PICTURE_SIDE)[:, :, ::-1]
        return _Greys(rows.reshape(self.standardised.shape), self.contrast, self.brightness)


def _correlations(some: _Greys, others: _Greys) -> NDArray[np.float64]:
    """(n, m), -1 to 1; two pictures without any contrast are alike if they are as bright."""
    found = some.standardised @ others.standardised.T / PICTURE_SIDE**2
    contrast, other_contrast = some.contrast[:, None], others.contrast
    flat = np.minimum(contrast, other_contrast) < _LEAST_CONTRAST
    as_bright = np.abs(some.brightness[:, None] - others.brightness) < 8
    both_flat = np.maximum(contrast, other_contrast) < 2 * _LEAST_CONTRAST
    return np.where(flat, (as_bright & both_flat).astype(np.float64), found)
