"""Paths as people and scripts type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch


@pytest.mark.parametrize(
    "arguments",
    [
        ["remove", ""],
        ["remove", str(CLIPS), ""],
        ["index", ""],
        ["index", ".", "--weights", ""],
        ["query", "red", "--under", ""],
        ["query", "red", "--page", ""],
        ["videos", "--under", ""],
        ["ask", "", "what?"],
        ["models", "add", "mobileviclip-small", "--from", ""],
        ["models", "pull", "mobileviclip-small", "--from", ""],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_refused(arguments: list[str], clips_library: Path, command: RunVidsearch) -> None:
    """As a script with an unset variable gives it: it is not the current folder."""
    done = command(*arguments, cwd=CLIPS, env={"COLUMNS": "200"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the path is empty; write . for the current folder" in done.stderr
    videos = json.loads(command("videos", "--json").stdout)["videos"]
    assert len(videos) == len(list(CLIPS.glob("*.mp4")))


def test_a_file_that_looks_like_an_option_is_hinted_at(tmp_path: Path, command: RunVidsearch) -> None:
    (tmp_path / "-dash.mp4").write_bytes(b"")
    done = command("ask", "-dash.mp4", "what?", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(b"vidsearch: There is a file -dash.mp4 here; write ./-dash.mp4 for it.\n")


def test_a_folder_to_pull_from_that_is_not_there_is_told(tmp_path: Path, command: RunVidsearch) -> None:
    done = command("models", "pull", "./nope", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"./nope is neither a folder here nor a repository's name (ORG/NAME)" in done.stderr
