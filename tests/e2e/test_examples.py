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
    "demo_own_videos.py": ["--help"],  # the rest needs a model from the package index
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([str(CLIPS), " "], "Say what to look for, as in: make demo"),
        (["no-such-folder", "a dog"], "no-such-folder; give the folder with your videos."),
    ],
)
def test_the_demo_of_own_videos_says_what_it_lacks(arguments: list[str], words: str, tmp_path: Path) -> None:
    script = REPOSITORY / "examples" / "demo_own_videos.py"
    done = subprocess.run(
        [sys.executable, script, *arguments, "--home", tmp_path / "home"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert not (tmp_path / "home").exists()
