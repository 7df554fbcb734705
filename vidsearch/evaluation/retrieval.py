"""Zero-shot retrieval as the papers measure it: recall at k both ways, with and without dual softmax; middle frames.

Protocol of InternVideo2's framework, on which MobileViCLIP (arXiv 2508.07312) stands. Pair i is (video i, text i).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]


def middle_indices(frames_total: int, frames: int = 8) -> NDArray[np.int64]:
    """The frame in the middle of each of `frames` equal intervals; a shorter video repeats its last index. (frames,)"""
    if frames_total < 1 or frames < 1:
        raise ValueError(f"cannot choose {frames} of {frames_total} frames")
    taken = min(frames, frames_total)
    edges = np.floor(np.linspace(0, frames_total, taken + 1)).astype(np.int64)
    chosen = (edges[:-1] + edges[1:] - 1) // 2
    return np.concatenate([chosen, np.full(frames - taken, chosen[-1])])


def ranks(scores: Scores) -> NDArray[np.int64]:
    """The place, from 0, of the right answer of each row: the number of columns that score higher. (N, N) → (N,)"""
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise ValueError(f"pair i is (row i, column i), so scores must be square, not {scores.shape}")
    return (scores > np.diagonal(scores)[:, None]).sum(axis=1)


def recall(places: NDArray[np.int64], at: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Share of rows, in percent, whose right answer is among the first k: {"R@1": …}."""
    return {f"R@{k}": float(100 * np.mean(places < k)) for k in at}


def dual_softmax(scores: Scores) -> Scores:
    """scores ⊙ softmax of each column over the rows, temperature 1: the prior that every query is asked once."""
    powers = np.exp(scores - scores.max(axis=0, keepdims=True))
    return scores * (powers / powers.sum(axis=0, keepdims=True))


def retrieval(videos: Scores, texts: Scores) -> dict[str, dict[str, float]]:
    """Unit vectors (N, E) of videos and of their texts → recall in percent, both ways, plain and with dual softmax."""
    scores = videos @ texts.T
    return {
        "v2t": recall(ranks(scores)),
        "t2v": recall(ranks(scores.T)),
        "v2t_dual_softmax": recall(ranks(dual_softmax(scores))),
        "t2v_dual_softmax": recall(ranks(dual_softmax(scores.T))),
    }
