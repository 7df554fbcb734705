"""Which hits are worth showing."""

from __future__ import annotations

from pathlib import Path

from vidsearch.models.score_levels import ScoreLevels
from vidsearch.records import Hit
from vidsearch.workflows.relevance import match_level, worth_showing

LEVELS = ScoreLevels(0.5, 0.25, 0.125)
HITS = [Hit(n, Path(f"/{n}.mp4"), 0, 8, 4, score, "m") for n, score in enumerate((0.5, 0.125, 0.1249), start=1)]


def test_hits_below_the_lowest_level_are_not_worth_showing() -> None:
    assert worth_showing(HITS, LEVELS) == HITS[:2]
    assert [match_level(hit.level_score, LEVELS) for hit in HITS] == ["high", "low", "none"]


def test_without_levels_every_hit_is() -> None:
    assert worth_showing(HITS, None) == HITS
    assert match_level(0.9, None) is None
