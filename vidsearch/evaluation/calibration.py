"""Queries with known answers → the scores from which a hit counts as high, medium or low. Arithmetic alone.

Two kinds of query are asked: *present* ones, which one video of the library answers, and *absent* ones, about things
that are in none. Of each video only its best window counts, since that is the score that a person sees.

Axes: Q queries, V videos.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidsearch.models.score_levels import LEVELS, ScoreLevels

NOWHERE = -1
ABSENT_AT_HIGH = 1 / 20
ABSENT_AT_MEDIUM = 1 / 4
PRESENT_AT_LOW = 7 / 8
RULE = (
    "expected of further queries of these kinds: at most 1 in 20 absent ones have a hit at high, at most 1 in 4 have "
    "one at medium or above, and at least 7 in 8 present ones have their own video at low or above"
)
TOP = 10  # hits that a query shows where nothing else is asked for
_DECIMALS = 4
_ROUNDING = 1e-6  # of products that should be whole: 0.57 times 10^4 is 5699.999999999999


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """What was asked, how every video scored, and which one is right."""

    scores: NDArray[np.float64]  # (Q, V), each video's best window
    own: NDArray[np.int64]  # (Q,) the column of the right video; NOWHERE for an absent query

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.own.shape != self.scores.shape[:1] or not self.scores.shape[1]:
            raise ValueError(f"scores are (Q, V) with V > 0 and own is (Q,), not {self.scores.shape}, {self.own.shape}")
        if not self.present.any() or self.present.all():
            raise ValueError("levels need queries of both kinds, present and absent ones")

    @property
    def present(self) -> NDArray[np.bool_]:
        """(Q,) whether a video answers the query."""
        return self.own != NOWHERE

    @property
    def right(self) -> NDArray[np.float64]:
        """The score of the right video of each present query."""
        return self.scores[self.present, self.own[self.present]]

    @property
    def best_absent(self) -> NDArray[np.float64]:
        """The best score of each absent query: what would be shown though nothing is right."""
        return self.scores[~self.present].max(axis=1)

    @property
    def places(self) -> NDArray[np.int64]:
        """The place, from 0, of the right video of each present query: how many others score as high or higher."""
        return (self.scores[self.present] >= self.right[:, None]).sum(axis=1) - 1

    def among(self, queries: NDArray[np.bool_], videos: NDArray[np.bool_]) -> KnownAnswers:
        """Only these queries in a library of only these videos; the right videos of the queries must be among them."""
        columns = np.append(np.cumsum(videos) - 1, NOWHERE)  # NOWHERE stays itself
        return KnownAnswers(self.scores[queries][:, videos], columns[self.own[queries]])


def measure_levels(known: KnownAnswers) -> ScoreLevels:
    """The levels by `RULE`, to four decimals. A level is never below the next lower one.

    A rule about queries to come, not about these: of n + 1 scores in random order the last one lies above the k-th
    highest of the others with probability k / (n + 1) (conformal prediction; Vovk, Gammerman and Shafer, 2005). With
    too few queries for the shares of the rule, the extreme score counts.
    """
    low = _reached_by_most(known.right, PRESENT_AT_LOW)
    medium = max(low, _reached_by_few(known.best_absent, ABSENT_AT_MEDIUM))
    high = max(medium, _reached_by_few(known.best_absent, ABSENT_AT_HIGH))
    return ScoreLevels(high, medium, low)


def _reached_by_most(scores: NDArray[np.float64], share: float) -> float:
    """A score of four decimals that the next one reaches with a probability of at least `share`."""
    number = max(math.floor((1 - share) * (len(scores) + 1) + _ROUNDING), 1)
    return math.floor(float(np.sort(scores)[number - 1]) * 10**_DECIMALS) / 10**_DECIMALS


def _reached_by_few(scores: NDArray[np.float64], share: float) -> float:
    """A score of four decimals that the next one reaches with a probability of at most `share`."""
    number = max(math.floor(share * (len(scores) + 1) + _ROUNDING), 1)
    bound = float(np.sort(scores)[-number])
    return (math.floor(bound * 10**_DECIMALS + _ROUNDING) + 1) / 10**_DECIMALS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What levels do to queries; each a share of 0 to 1."""

    absent_at_high: float  # of the absent queries: something is shown at high
    absent_shown: float  # … something is shown at all
    present_without_any: float  # of the present queries: nothing is shown
    present_without_own: float  # … the right video is not shown


def outcome(known: KnownAnswers, levels: ScoreLevels) -> Outcome:
    """What a person would see with these levels."""
    best = known.scores[known.present].max(axis=1)
    return Outcome(
        absent_at_high=float((known.best_absent >= levels.high).mean()),
        absent_shown=float((known.best_absent >= levels.low).mean()),
        present_without_any=float((best < levels.low).mean()),
        present_without_own=float((known.right < levels.low).mean()),
    )


def leave_one_out(known: KnownAnswers) -> Outcome:
    """Each query judged by levels that were measured without it. Needs two queries of each kind."""
    videos = np.ones(known.scores.shape[1], dtype=bool)
    parts: dict[bool, list[Outcome]] = {True: [], False: []}
    for query, is_present in enumerate(known.present.tolist()):
        others = np.arange(len(known.own)) != query
        pair = ~others | (np.arange(len(known.own)) == int(np.flatnonzero(known.present != is_present)[0]))
        parts[is_present].append(outcome(known.among(pair, videos), measure_levels(known.among(others, videos))))
    return _joined(parts[True], parts[False])


def split_half(known: KnownAnswers, rounds: int = 200, seed: int = 0) -> Outcome:
    """Levels measured with one half of the videos and queries, judged on the other half; the mean over random halves.

    A present query goes with its video. Needs two queries of each kind about different videos.
    """
    rng = np.random.default_rng(seed)
    judged: list[Outcome] = []
    for _ in range(rounds):
        halves = _halves(known, rng)
        for measured_on, judged_on in (halves, halves[::-1]):
            judged.append(outcome(judged_on, measure_levels(measured_on)))
    return _joined(judged, judged)


def _halves(known: KnownAnswers, rng: np.random.Generator) -> tuple[KnownAnswers, KnownAnswers]:
    asked_about = rng.permutation(np.unique(known.own[known.present]))
    rest = rng.permutation(np.setdiff1d(np.arange(known.scores.shape[1]), asked_about))
    absent = rng.permutation(np.flatnonzero(~known.present))
    in_first = np.zeros(known.scores.shape[1], dtype=bool)
    in_first[asked_about[: len(asked_about) // 2]] = True
    in_first[rest[: len(rest) // 2]] = True
    first = known.present & in_first[known.own]
    first[absent[: len(absent) // 2]] = True
    return known.among(first, in_first), known.among(~first, ~in_first)


def _joined(present: Iterable[Outcome], absent: Iterable[Outcome]) -> Outcome:
    """The means: those about present queries of the first, those about absent ones of the second."""
    present, absent = list(present), list(absent)
    return Outcome(
        absent_at_high=float(np.mean([each.absent_at_high for each in absent])),
        absent_shown=float(np.mean([each.absent_shown for each in absent])),
        present_without_any=float(np.mean([each.present_without_any for each in present])),
        present_without_own=float(np.mean([each.present_without_own for each in present])),
    )


@dataclass(slots=True)
class Tally:
    """Hits of one level, among those that the queries show."""

    right: int = 0  # the query's own video
    wrong: int = 0  # another video for a present query: not its own, though it may show the like
    absent: int = 0  # any video for an absent query


def tally(known: KnownAnswers, levels: ScoreLevels, top: int = TOP) -> dict[str, Tally]:
    """Level → its hits, one a video, among the best `top` of every query; "none" holds those that are left out."""
    counts: dict[str, Tally] = {name: Tally() for name in (*LEVELS, "none")}
    for scores, own in zip(known.scores, known.own.tolist(), strict=True):
        for video in np.argsort(-scores, kind="stable")[:top].tolist():
            count = counts[levels.level(float(scores[video]))]
            count.right += own == video
            count.wrong += own not in (video, NOWHERE)
            count.absent += own == NOWHERE
    return counts
