"""Retrieval as the papers measure it: recall at k, median and mean rank, both ways, with and without dual softmax.

Protocol: the evaluation programs of InternVideo2 (OpenGVLab/InternVideo, multi_modality/tasks_clip), on which
MobileViCLIP (arXiv 2508.07312) stands. Ties, which they leave to the order of an unstable sort, have a rule here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Right = NDArray[np.bool_]
Ties = Literal["index", "optimistic", "pessimistic"]


def ranks(scores: Scores, right: Right | None = None, ties: Ties = "index") -> NDArray[np.int64]:
    """The place, from 0, of the best right answer of each row: (Q, M) → (Q,).

    `right` (Q, M) bool, at least one in each row; None: scores are square and the right answers on the diagonal. Of
    equal scores that with the lower index comes first; `optimistic` puts the right answer first, `pessimistic` last.
    """
    if right is None:
        if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
            raise ValueError(f"pair i is (row i, column i), so scores must be square, not {scores.shape}")
        right = np.eye(len(scores), dtype=bool)
    if not right.any(axis=1).all():
        raise ValueError("each row needs a right answer")
    return np.array([_best_place(row, own, ties) for row, own in zip(scores, right, strict=True)], dtype=np.int64)


def _best_place(row: Scores, right: Right, ties: Ties) -> int:
    """The first of the right answers with the highest score is the best placed one."""
    best = int(np.argmax(np.where(right, row, -np.inf)))
    above, equal = row > row[best], row == row[best]
    before = {"index": equal[:best], "optimistic": equal[:0], "pessimistic": equal & ~right}
    return int(above.sum() + before[ties].sum())


def recall(places: NDArray[np.int64], at: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Share of rows, in percent, whose right answer is among the first k: {"R@1": …}."""
    return {f"R@{k}": float(100 * np.mean(places < k)) for k in at}


def dual_softmax(scores: Scores) -> Scores:
    """scores ⊙ softmax of each column over the rows, temperature 1: the prior that every query is asked once."""
    powers = np.exp(scores - scores.max(axis=0, keepdims=True))
    return scores * (powers / powers.sum(axis=0, keepdims=True))


def measures(scores: Scores, right: Right | None = None) -> dict[str, float]:
    """Of queries (rows): `r1`, `r5`, `r10` in percent, `mdr` and `mnr`, median and mean rank, from 1.

    `r1_optimistic` and `r1_pessimistic` bound `r1` over all orders of equal scores; a gap between them means vectors
    that are alike.
    """
    places = ranks(scores, right)
    bounds = {
        f"r1_{ties}": float(100 * np.mean(ranks(scores, right, ties) < 1)) for ties in ("optimistic", "pessimistic")
    }
    return {
        **{f"r{k}": float(100 * np.mean(places < k)) for k in (1, 5, 10)},
        "mdr": float(np.median(places) + 1),
        "mnr": float(np.mean(places) + 1),
        **bounds,
    }


def retrieval(videos: Scores, texts: Scores, owners: Sequence[int] | None = None) -> dict[str, dict[str, float]]:
    """Unit vectors of videos (N, E) and of texts (M, E) → measures of text to video and back, plain and dual softmax.

    `owners` (M,): the number of the video that each text is true of; None: text i of video i.
    """
    scores = videos.astype(np.float32) @ texts.astype(np.float32).T
    numbers = np.arange(len(videos)) if owners is None else np.asarray(owners)
    right = np.arange(len(videos))[:, None] == numbers[None]
    return {
        "t2v": measures(scores.T, right.T),
        "v2t": measures(scores, right),
        "t2v_dual": measures(dual_softmax(scores.T), right.T),
        "v2t_dual": measures(dual_softmax(scores), right),
    }
