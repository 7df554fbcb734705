"""`kill -9` in the middle of an evaluation, and a rerun, embed no clip twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch, environment

VIDEOS = 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_clips_go_on_after_a_kill(tmp_path: Path, own_home: Path, vidsearch: RunVidsearch) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    clips = sorted(CLIPS.glob("*.mp4"), key=lambda path: path.stat().st_size)[:10]
    names = [f"{number:04d}.mp4" for number in range(VIDEOS)]
    for number, name in enumerate(names):
        shutil.copy(clips[number % len(clips)], folder / name)
    (folder / "captions.csv").write_text("file,caption\n" + "".join(f"{name},a red star\n" for name in names))
    words = ("evaluate", "retrieval", "folder", "--data", folder, "--json")
    kept = own_home / "cache" / "evaluation" / "mobileviclip-nano"
    run = subprocess.Popen(
        [sys.executable, "-m", "vidsearch", *map(str, words)], env=environment(), stdout=subprocess.DEVNULL
    )
    while run.poll() is None and len(list(kept.glob("*.npy"))) < 300:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in kept.glob("*.npy")}
    assert 300 <= len(before) < VIDEOS
    done = vidsearch(*words, timeout_s=1500)
    assert done.returncode == 0 and json.loads(done.stdout)["items"] == VIDEOS
    after = {path: path.stat().st_mtime_ns for path in kept.glob("*.npy")}
    assert len(after) == VIDEOS  # each once
    assert {path: after[path] for path in before} == before  # none of them written, and so embedded, again
