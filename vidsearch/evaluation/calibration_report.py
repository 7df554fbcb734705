"""What levels do to queries with known answers, as people and as programs read it."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from vidsearch.evaluation.calibration import RULE, KnownAnswers, Outcome, measure_levels, outcome, tally
from vidsearch.models.score_levels import ScoreLevels


def measured_today(known: KnownAnswers) -> ScoreLevels:
    """The levels by the rule, with how they were measured."""
    counts = {
        "videos": known.scores.shape[1],
        "present": int(known.present.sum()),
        "absent": int((~known.present).sum()),
    }
    how = {"date": datetime.date.today().isoformat(), **counts, "rule": RULE}
    return dataclasses.replace(measure_levels(known), measured=how)


def levels_table(known: KnownAnswers, levels: ScoreLevels) -> str:
    """A line a level: from which score on, and what the hits in it are."""
    lines = [f"{'level':8} {'from':>8} {'right':>6} {'other video':>12} {'absent query':>13}"]
    for level, count in tally(known, levels).items():
        least = "" if level == "none" else f"{getattr(levels, level):.4f}"
        lines.append(f"{level:8} {least:>8} {count.right:6} {count.wrong:12} {count.absent:13}")
    return "\n".join(lines)


def sentence(shown: Outcome) -> str:
    """One line on what a person would see."""
    return (
        f"absent queries with a hit at high {shown.absent_at_high:.1%}, with any hit {shown.absent_shown:.1%}; "
        f"present ones without a hit {shown.present_without_any:.1%}, without their own {shown.present_without_own:.1%}"
    )


def figures(known: KnownAnswers, levels: ScoreLevels) -> dict[str, Any]:
    """The same as plain values."""
    hits = {level: dataclasses.asdict(count) for level, count in tally(known, levels).items()}
    return {**levels.to_dict(), "hits": hits, **dataclasses.asdict(outcome(known, levels))}
