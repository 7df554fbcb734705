"""-q leaves results and errors: before the command or, where a command says much, after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch


@pytest.mark.parametrize("arguments", [("-q", "index"), ("index", "-q"), ("--quiet", "index")])
def test_a_quiet_run_tells_of_failures_alone(command: RunVidsearch, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "good.mp4").write_bytes((CLIPS / "red-square-left.mp4").read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    told = command(*arguments, tmp_path)
    assert told.returncode == 3
    (line,) = told.stderr.decode().splitlines()
    assert "bad.mp4" in line
    assert command("videos").stdout.count(b"\n") == 2


def test_quiet_lasts_for_one_command(command: RunVidsearch, clips_library: Path) -> None:
    env = {"VIDSEARCH_HOME": str(clips_library)}
    quiet, loud = command("-q", "query", "a zebra", env=env), command("query", "a zebra", env=env)
    assert (quiet.returncode, quiet.stderr) == (1, b"")
    assert b"Nothing found" in loud.stderr


def test_an_error_is_told_all_the_same(command: RunVidsearch) -> None:
    told = command("-q", "query", "a star")
    assert told.returncode == 4
    assert told.stderr.startswith(b"vidsearch: no library in ")


@pytest.mark.parametrize("arguments", [("-q", "query"), ("query", "-q")])
def test_a_mistake_in_a_query_is_an_error_and_told(arguments: tuple[str, ...], command: RunVidsearch) -> None:
    done = command(*arguments, "dog", "since:2025-13")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "vidsearch: since: there is no date 2025-13; write year-month-day, as in 2025-07-14.",
        "  since:2025-13",
        "        ^^^^^^^",
    ]
