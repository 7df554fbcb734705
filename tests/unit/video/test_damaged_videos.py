"""Videos that were damaged by rule: a tenth of those that `make soak` tries."""

from __future__ import annotations

from pathlib import Path

from damage import check_all, good_videos, mutants


def test_no_damage_stops_a_run_or_makes_windows_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    damaged = list(mutants(good_videos(tmp_path), 56, tmp_path / "damaged"))
    found = check_all(damaged)
    assert sum(found.values()) == 56
    assert found["partial"] > 10  # damage is told, not only survived
