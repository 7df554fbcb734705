"""Every script in examples/ runs, with public names only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import CLIPS, REPOSITORY, environment

ARGUMENTS = {
    "compare_clip_with_sentences.py": [
        str(CLIPS / "red-square-left.mp4"),
        "a red square moves left",
        "a blue heart grows",
    ],
    "demo.py": ["--home", "{home}"],
    "demo_own_videos.py": ["--help"],  # test_conse has the rest: it needs a model from the package index
}


@pytest.mark.parametrize("script", sorted((REPOSITORY / "examples").glob("*.py")), ids=lambda path: path.name)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    arguments = [word.format(home=tmp_path / "home") for word in ARGUMENTS.get(script.name, [])]
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout
