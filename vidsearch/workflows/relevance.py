"""How much a score means: the levels that a model's folder states, measured for that model."""

from __future__ import annotations

from collections.abc import Mapping

Levels = Mapping[str, float] | None  # cosines from which a hit counts as high, medium or low; None: not measured


def match_level(score: float, levels: Levels) -> str | None:
    """high, medium, low or none; None if nobody has measured the model's levels."""
    if levels is None:
        return None
    return next((name for name in ("high", "medium", "low") if score >= levels[name]), "none")
