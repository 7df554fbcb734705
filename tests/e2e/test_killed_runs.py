"""`kill -9` at any moment and a rerun give the same library as an undisturbed run."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support import CLIPS, RunVidsearch, environment, library_content

# How often the run is killed; a whole run takes some seconds.
KILLS = [
    pytest.param(2, marks=pytest.mark.timeout(400)),
    pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(5400)]),
]


def change_folder(folder: Path, clips: list[Path], step: int) -> None:
    """Between runs the folder lives on: files come, leave, move and are replaced."""
    names = sorted(folder.iterdir())
    shutil.copy(clips[step % len(clips)], folder / f"new_{step}.mp4")
    if step % 2 and names:
        names[0].rename(folder / f"moved_{step}.mp4")
    if step % 3 == 2 and len(names) > 1:
        names[1].unlink()
    if step % 5 == 4 and len(names) > 2:
        shutil.copy(clips[(step + 7) % len(clips)], names[2])


@pytest.mark.parametrize("kills", KILLS)
def test_killed_at_random_moments(tmp_path: Path, vidsearch: RunVidsearch, kills: int) -> None:
    clips = sorted(CLIPS.glob("*.mp4"))
    folder = tmp_path / "videos"
    folder.mkdir()
    for clip in clips[:4]:
        shutil.copy(clip, folder)
    started = time.monotonic()
    assert vidsearch("index", folder).returncode == 0
    whole_run_s = time.monotonic() - started

    moments = random.Random(20)
    killed = 0
    for step in range(3 * kills):
        change_folder(folder, clips, step)
        started = time.monotonic()
        run = subprocess.Popen(
            [sys.executable, "-m", "vidsearch", "index", str(folder)], env=environment(), stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.0, whole_run_s))
        run.send_signal(signal.SIGKILL)
        if run.wait() == -signal.SIGKILL:
            killed += 1
        else:  # it had ended before: runs have become shorter, as on a machine that is no longer busy
            whole_run_s = min(whole_run_s, time.monotonic() - started)
        if killed == kills:
            break
    assert killed == kills

    assert vidsearch("index", folder).returncode == 0
    undisturbed = tmp_path / "undisturbed"
    assert vidsearch("index", folder, env={"VIDSEARCH_HOME": str(undisturbed)}).returncode == 0

    found, expected = library_content(tmp_path / "vidsearch-home"), library_content(undisturbed)
    assert found.keys() == expected.keys()
    for path, (facts, windows, vectors) in expected.items():
        assert found[path][0] == facts
        assert found[path][1] == windows
        # The same frames in batches of another size: equal but for the rounding of the batched products.
        cosines = (found[path][2] * vectors).sum(axis=1)
        assert np.all(cosines > 0.9995), path
