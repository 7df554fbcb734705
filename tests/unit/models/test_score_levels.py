"""What a score means for a model, and where that is written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.errors import ModelError
from vidsearch.evaluation.calibration import RULE
from vidsearch.models.conse.classes import read_score_levels
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.score_levels import ScoreLevels, forget_own_levels, keep_own_levels, levels_of, own_levels_file

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
OWN = ScoreLevels(0.5, 0.25, 0.125, {"date": "2026-11-26", "present": 12})


def test_a_score_has_the_highest_level_that_it_reaches() -> None:
    assert [OWN.level(score) for score in (0.6, 0.5, 0.4999, 0.25, 0.125, 0.1249, -1.0)] == [
        "high",
        "high",
        "medium",
        "medium",
        "low",
        "none",
        "none",
    ]


def test_a_model_brings_its_levels(tmp_path: Path) -> None:
    levels = levels_of(NANO, tmp_path)
    assert levels is not None and levels.path is None
    assert {name: levels.to_dict()[name] for name in ("high", "medium", "low")} == {
        name: NANO.score_levels[name]
        for name in ("high", "medium", "low")  # type: ignore[index]  # nano has them
    }


def test_own_levels_go_first_until_they_are_forgotten(tmp_path: Path) -> None:
    file = keep_own_levels(NANO.name, OWN, tmp_path)
    assert levels_of(NANO, tmp_path) == ScoreLevels(0.5, 0.25, 0.125, OWN.measured, file)
    assert forget_own_levels(NANO.name, tmp_path) and not forget_own_levels(NANO.name, tmp_path)
    levels = levels_of(NANO, tmp_path)
    assert levels is not None and levels.path is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"high": 0.1, "medium": 0.2, "low": 0.3}', '{"high": NaN, "medium": 0.2, "low": 0.1}', "\x00"],
)
def test_a_file_that_holds_no_levels_is_named(tmp_path: Path, content: str) -> None:
    file = own_levels_file(NANO.name, tmp_path)
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(ModelError, match=str(file)):
        levels_of(NANO, tmp_path)


def test_what_is_kept_is_plain_json(tmp_path: Path) -> None:
    file = keep_own_levels(NANO.name, OWN, tmp_path)
    assert json.loads(file.read_text()) == {
        "high": 0.5,
        "medium": 0.25,
        "low": 0.125,
        "measured": {"date": "2026-11-26", "present": 12},
    }


def test_conse_brings_levels_that_were_measured_on_real_clips() -> None:
    brought = read_score_levels()
    assert brought["high"] > brought["medium"] > brought["low"] > 0
    how = brought["measured"]
    assert (how["videos"], how["present"], how["absent"], how["rule"]) == (58, 58, 40, RULE)
