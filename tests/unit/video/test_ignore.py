"""`.vidsearchignore` leaves out what git leaves out: the same files under the same patterns, asked of git itself."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from vidsearch.records import VideoFile
from vidsearch.video.discover import IGNORE_FILE, find_videos

FILES = (
    *("a.mp4", "b.mp4", "B.mp4", "c d.mp4", "é.mp4", "[x].mp4", "#1.mp4", "!2.mp4", "q?.mp4", "z\\z.mp4", "10.mp4"),
    *("keep/a.mp4", "keep/deep/b.mp4", "raw/a.mp4", "raw/keep/b.mp4", "p/raw/a.mp4", "p/q/raw/b.mp4", "p/q/r/a.mp4"),
    *("x1/a.mp4", "x2/y/a.mp4", "end /a.mp4", "a/b/c/d.mp4", "raw.mp4"),
)
PATTERN_SETS = [
    "*\n!keep/\n!keep/*",
    "*\n!*/\n!*.mp4",
    "*\n!keep/\n!keep/**",
    "[[:alpha:]].mp4",
    "[[:upper:]].mp4\n[[:digit:]]*",
    "\ufeffa.mp4\nb.mp4",
    "raw",
    "raw/",
    "/raw",
    "/raw/",
    "*/raw",
    "*/raw/*",
    "**/raw/**",
    "p/**",
    "p/**/a.mp4",
    "**/b.mp4",
    "a/**/d.mp4",
    "a/*/d.mp4",
    "raw/\n!raw/keep/",
    "raw/*\n!raw/keep",
    "*.mp4\n!a.mp4",
    "!a.mp4\n*.mp4",
    "\\#1.mp4",
    "#1.mp4",
    "\\!2.mp4",
    "c d.mp4 ",
    "end\\ ",
    "end ",
    "q\\?.mp4",
    "q?.mp4",
    "?.mp4",
    "??.mp4",
    "z\\\\z.mp4",
    "\\[x].mp4",
    "[[]x].mp4",
    "[]x[]*",
    "[!a]*",
    "[^a]*",
    "[a-c].mp4",
    "x[1-9]/",
    "[a",
    "a.mp4\\",
    "[[:nothing:]]*",
    "/*\n!/p\n/p/*\n!/p/q",
    "**",
    "/",
    "!",
    "raw//",
    "./raw",
    "a.mp4\r\nb.mp4\r\n",
    "\t\n \n#\na.mp4",
    "keep/deep\n!keep/deep/b.mp4",
]

git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet", root], check=True)
    return root


def by_git(tree: Path, patterns: str) -> set[str]:
    (tree / ".gitignore").write_bytes(patterns.encode())
    command = ["git", "-c", "core.excludesFile=", "ls-files", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=tree, capture_output=True, check=True).stdout
    return {os.fsdecode(name) for name in listed.split(b"\0") if name.endswith(b".mp4")}


def by_vidsearch(tree: Path, patterns: str) -> set[str]:
    (tree / IGNORE_FILE).write_bytes(patterns.encode())
    found = [item for item in find_videos(tree) if isinstance(item, VideoFile)]
    return {str(file.path.relative_to(tree)) for file in found}


@git
@pytest.mark.parametrize("patterns", PATTERN_SETS, ids=repr)
def test_a_set_of_patterns_leaves_out_what_git_leaves_out(patterns: str, tree: Path) -> None:
    assert by_vidsearch(tree, patterns) == by_git(tree, patterns)


@git
def test_patterns_drawn_at_random_leave_out_what_git_leaves_out(tree: Path) -> None:
    draw = random.Random(22)
    signs = [
        *"ab/! xq0-]",
        "*",
        "*",
        "**",
        "/",
        "raw",
        "keep",
        "mp4",
        "\\",
        "[ab]",
        "[!a]",
        "[a-c]",
        "[[:alpha:]]",
        "[a",
    ]
    for _ in range(60):
        lines = ["".join(draw.choices(signs, k=draw.randint(1, 5))) for _ in range(draw.randint(1, 4))]
        patterns = "\n".join(["*", *lines] if draw.random() < 0.3 else lines)
        assert by_vidsearch(tree, patterns) == by_git(tree, patterns), repr(patterns)
