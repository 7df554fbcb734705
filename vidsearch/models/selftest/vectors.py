"""What is asked of the vectors of every model that embeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsearch.models.findings import Finding

Vectors = NDArray[np.float32]
SAME_COSINE = 1 - 1e-6  # from which vectors of different inputs count as one: a network that looks at nothing


def finite(what: str, vectors: Vectors) -> Finding:
    """Are the vectors, (B, E), finite and of unit length?"""
    lengths = np.linalg.norm(vectors, axis=1)
    ok = bool(np.isfinite(vectors).all() and np.abs(lengths - 1).max() < 1e-3)
    return Finding(what, ok, "finite, of unit length" if ok else "not finite, or not of unit length")


def distinct(what: str, vectors: Vectors) -> Finding:
    """Do the vectors, (B, E), of B different inputs differ?"""
    cosines = vectors @ vectors.T
    nearest = float(cosines[~np.eye(len(cosines), dtype=bool)].max())
    ok = nearest < SAME_COSINE
    return Finding(what, ok, f"cosines up to {nearest:.6f}" + ("" if ok else ": all the same to this model"))


def equal(what: str, expected: Vectors, got: Vectors, tolerance: float) -> Finding:
    """Are two ways of computing the same vectors equal up to `tolerance` in every value?"""
    apart = float(np.abs(expected - got).max())
    return Finding(what, apart <= tolerance, f"differs by {apart:.1e} (allowed {tolerance:.0e})")
