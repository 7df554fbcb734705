"""500 videos that were damaged by rule, made ones and real clips; the quick form is in tests/unit/video."""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import check_all, good_videos, mutants
from support import SHARED

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

CLIPS = (
    "vhs_terminal_recording.mp4",
    "frigate_corridor_camera.mp4",
    "deeplabcut_gui_recording.mp4",
    "intel_sign_language_book.mkv",
    "exoplayer_seabirds.avi",
    "mdn_flower_opening.webm",
    "photoprism_earth_night.mov",
    "cotracker_cat_sofa.mp4",
)


@pytest.mark.parametrize("first_seed", [1000, 2000, 3000])
def test_made_videos(tmp_path: Path, first_seed: int) -> None:
    (tmp_path / "damaged").mkdir()
    damaged = list(mutants(good_videos(tmp_path), 105, tmp_path / "damaged", first_seed))
    assert sum(check_all(damaged).values()) == 105


@pytest.mark.skipif(not SHARED.exists(), reason="the shared test material is not beside the repository")
@pytest.mark.parametrize("first_seed", [4000, 5000])
def test_real_clips(tmp_path: Path, first_seed: int) -> None:
    sources = [SHARED / "videos" / "clips" / name for name in CLIPS]
    damaged = list(mutants(sources, 96, tmp_path, first_seed))
    assert sum(check_all(damaged).values()) == 96
