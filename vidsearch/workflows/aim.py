"""Terms ─▶ the direction to look in, and the directions to keep away from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import VidsearchError
from vidsearch.frozen import dataclass
from vidsearch.records import AnyTerm, LikeFile, LikeHit, Term

if TYPE_CHECKING:
    from collections.abc import Callable

# A sum of unit vectors shorter than this has no direction that means anything.
SHORTEST_SUM = 1e-6


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a query looks. Unit vectors (E,): the weighted sum of all terms, that of the positive ones, each negative.

    `negatives` is (n, E); a window that is nearer to one of them than to `positive` is not looked for.
    """

    vector: NDArray[np.float32]
    positive: NDArray[np.float32]
    negatives: NDArray[np.float32]

    def wants(self, windows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(n, E) → n: whether each window is no nearer to a negative term than to the positive ones."""
        if not len(self.negatives):
            return np.ones(len(windows), dtype=np.bool_)
        return np.asarray((windows @ self.negatives.T).max(axis=1) <= windows @ self.positive)


def aim_of(terms: Sequence[AnyTerm], vectors: Callable[[Sequence[AnyTerm]], NDArray[np.floating]]) -> Aim:
    """The aim of terms, whose vectors (n, E) of any length `vectors` gives. Their order makes no difference.

    Raises VidsearchError if nothing is looked for, if a term is empty, or if the terms cancel each other.
    """
    check_terms(terms)
    ordered = sorted(terms, key=_order)
    rows = np.asarray(vectors(ordered), dtype=np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weights = np.array([term.weight for term in ordered])
    away = weights < 0
    return Aim(_sum(weights, rows), _sum(weights[~away], rows[~away]), np.asarray(rows[away], dtype=np.float32))


def check_terms(terms: Sequence[AnyTerm]) -> None:
    """Raises VidsearchError if nothing is looked for, or if a term has no words."""
    if not terms or not all(term.text.strip() for term in terms):
        raise VidsearchError("The query is empty; give the words to search for, as in: vidsearch query 'dog jumping'.")
    if all(term.weight <= 0 for term in terms):
        raise VidsearchError(
            "The query says what to avoid and not what to look for; add words without a minus. Words that begin with "
            f"one stand in quotes: '\"-{terms[0].text}\"'."
        )


def _sum(weights: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float32]:
    total = weights @ rows
    length = np.linalg.norm(total)
    if not length > SHORTEST_SUM:
        raise VidsearchError("The terms of the query cancel each other; change a weight, or leave a term out.")
    return np.asarray(total / length, dtype=np.float32)


def _order(term: AnyTerm) -> tuple[int, str, float, float, float]:
    """Sums of floats depend on their order, and an answer must not."""
    match term:
        case Term(text, weight):
            return (0, text, 0.0, 0.0, weight)
        case LikeHit(number, weight):
            return (1, "", float(number), 0.0, weight)
        case LikeFile(path, start_s, end_s, weight):
            return (2, str(path), start_s or 0.0, float("inf") if end_s is None else end_s, weight)
