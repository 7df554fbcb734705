"""Zero-shot action recognition: a class scores as the mean over sixteen prompts.

The prompts are ActionCLIP's, the protocol that of InternVideo2's framework.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidsearch.evaluation.retrieval import ranks

Scores = NDArray[np.floating]

PROMPTS = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)


def prompts(name: str) -> list[str]:
    """The sixteen sentences of one class."""
    return [prompt.format(name) for prompt in PROMPTS]


def class_scores(videos: Scores, prompt_vectors: Scores) -> Scores:
    """Mean over a class's prompts of the cosine with each prompt: (N, E) and (C, P, E), all of unit length → (N, C).

    The prompts are normalised one by one; the mean is not normalised again.
    """
    return videos @ prompt_vectors.mean(axis=1).T


def top(scores: Scores, labels: NDArray[np.integer] | Sequence[int], k: int) -> float:
    """Share of videos, in percent, whose right class is among the k best. scores (N, C), labels (N,).

    Of equal scores that of the class with the lower number comes first.
    """
    right = np.arange(scores.shape[1])[None] == np.asarray(labels)[:, None]
    return float(100 * np.mean(ranks(scores, right) < k))
