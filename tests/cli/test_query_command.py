"""`vidsearch query`: what is said about words and places that cannot be searched for, and which hits are kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import CLIPS, PROGRAM, RunVidsearch, environment, run_on_terminal


@pytest.mark.parametrize("words", ["the of a", "The", "?!", "and then: it is"])
def test_words_without_content_are_refused_alike(words: str, clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", words, "--json")
    assert (done.returncode, json.loads(done.stdout)["hits"]) == (1, [])
    assert b"The query has no word that says what to look for.\n" in done.stderr


def test_what_a_model_does_not_read_is_told(clips_library: Path, command: RunVidsearch) -> None:
    long = "a red square " * 30
    done = command("query", f"{long}moving left", "--json")
    assert done.stderr.startswith(
        b"vidsearch: The query is too long for mobileviclip-nano; it searches without: a red square a red"
    )
    assert done.stderr.splitlines()[0].endswith(b" moving left")
    assert b"too long" not in command("query", "a red square " * 25).stderr


@pytest.mark.parametrize("options", [(), ("--json",), ("-f",)])
def test_a_place_that_the_library_does_not_know_is_told(
    options: tuple[str, ...], clips_library: Path, command: RunVidsearch
) -> None:
    done = command("query", "red", "--under", "/no/such/place", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"vidsearch: The library holds nothing under /no/such/place; see vidsearch videos.\n"
    listed = command("videos", "--under", "/no/such/place")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, b"", done.stderr)
    assert command("query", "red", "--under", CLIPS, "--min-score", "0.999").returncode == 1


def test_a_terminal_gets_no_header_without_a_line_below_it(clips_library: Path) -> None:
    code, shown = run_on_terminal([*PROGRAM, "query", "a zebra"], b"")
    assert code == 1
    assert "score" not in shown and "Nothing found" in shown


def test_info_names_the_model_that_a_query_takes(clips_library: Path, command: RunVidsearch) -> None:
    assert json.loads(command("info", "--json").stdout)["default_model"] == "mobileviclip-nano"
    env = {"VIDSEARCH_MODEL": ""}
    assert b"default model\tmobileviclip-small\n" in command("info", env=env).stdout


@pytest.fixture
def unwritable(clips_library: Path) -> Iterator[Path]:
    """A library that nobody may write to."""
    modes = {path: path.stat().st_mode for path in (*clips_library.iterdir(), clips_library)}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield clips_library
    for path, mode in modes.items():
        path.chmod(mode)


def as_anybody(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The program without root's right to write everywhere."""
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from support import drop_override\n"
        "drop_override()\n"
        "from vidsearch.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=120)


def test_a_library_that_cannot_be_written_keeps_no_numbers_and_says_so(
    clips_library: Path, command: RunVidsearch, request: pytest.FixtureRequest
) -> None:
    assert command("query", "two purple circles").returncode == 0  # an older query, whose hits are kept
    request.getfixturevalue("unwritable")
    done = as_anybody("query", "a yellow star blinks", "-k", "2")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 2)
    said = b"vidsearch: The library cannot be written, so ask knows no numbers of these hits; name a file.\n"
    assert said in done.stderr
    asked = as_anybody("ask", "1", "what?", "--model", "mobilevideogpt-nano")
    assert (asked.returncode, asked.stdout) == (4, b"")
    assert b"cannot be written, so it keeps no hits: name the file\n" in asked.stderr


def test_a_narrow_terminal_breaks_no_time_and_paths_start_at_the_current_folder(
    clips_library: Path, tmp_path: Path
) -> None:
    command = ["sh", "-c", 'cd "$0" && stty cols 40 && exec "$@"', str(CLIPS.parent), *PROGRAM]
    code, shown = run_on_terminal([*command, "query", "a yellow star blinks", "-k", "1"], b"")
    assert code == 0
    lines = [line.split() for line in shown.replace("\r", "").splitlines() if line.startswith("1 ")]
    assert lines[0][1:5] == [lines[0][1], "high", "00:00.0", "00:04.0"]
    wide = [*command[:2], 'cd "$0" && stty cols 100 && exec "$@"', *command[3:]]
    shown = run_on_terminal([*wide, "query", "a yellow star blinks", "-k", "1"], b"")[1]
    assert shown.splitlines()[1].split()[-1] == "clips/yellow-star-blinks.mp4"
