"""How much a score means, and so which hits are worth showing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vidsearch.records import Term

if TYPE_CHECKING:
    from vidsearch.models.score_levels import ScoreLevels
    from vidsearch.records import Hit, Query

    Levels = ScoreLevels | None  # None: nobody has measured them


def levels_for(query: Query, levels: Levels) -> Levels:
    """A model's levels are measured with words: they say nothing of a query that is like a picture, a clip or a hit."""
    return levels if all(isinstance(term, Term) for term in query.terms) else None


def match_level(score: float, levels: Levels) -> str | None:
    """high, medium, low or none; None if nobody has measured the model's levels."""
    return None if levels is None else levels.level(score)


def worth_showing(hits: Sequence[Hit], levels: Levels) -> list[Hit]:
    """The hits that reach the lowest level, in their order; all of them if nobody has measured the levels."""
    return [hit for hit in hits if levels is None or hit.level_score >= levels.low]
