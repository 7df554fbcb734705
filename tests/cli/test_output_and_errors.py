"""Exact outputs and exit codes; each class of error once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import CLIPS, REPOSITORY, RunVidsearch, environment


def test_importing_the_program_imports_nothing_heavy() -> None:
    script = "import sys, vidsearch.cli.app; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    heavy = {"torch", "decord", "hnswlib", "numpy", "rich", "av", "onnxruntime", "sqlite_utils"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_products_of_small_matrices_take_one_thread() -> None:
    script = """
import contextlib, os, sys
from vidsearch import __main__ as program
sys.argv = ["vidsearch", "--version"]
program.leave = sys.exit  # the process goes on here
with contextlib.suppress(SystemExit):
    program.main()
import numpy as np
np.ones((300, 300)) @ np.ones((300, 300))
print(len(os.listdir("/proc/self/task")))
"""
    settings = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, check=True, text=True)
    assert done.stdout.split()[-1] == "1"


def test_the_readme_shows_every_command(command: RunVidsearch) -> None:
    listed = command("--help").stdout.decode().split("Commands:")[1].split("Exit codes")[0]
    commands = re.findall(r"^  (\w+) ", listed, flags=re.MULTILINE)
    assert {"index", "query", "videos", "remove", "info", "train"} <= set(commands)
    readme = (REPOSITORY / "README.md").read_text()
    assert [name for name in commands if f"vidsearch {name}" not in readme] == []


def test_a_pipe_gets_tab_separated_lines(clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", "a yellow star blinks", "-k", "3", "--time-format", "seconds")
    lines = done.stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1", "2", "3"]
    _, score, level, start, end, path = lines[0].split("\t")
    assert -1 <= float(score) <= 1
    assert level in ("high", "medium", "low", "none", "-")
    assert float(start) < float(end)
    assert Path(path).parent == CLIPS


def test_json_and_jsonl_say_the_same(clips_library: Path, command: RunVidsearch) -> None:
    whole = json.loads(command("query", "a green cross", "--json", "-k", "4").stdout)
    lines = command("query", "a green cross", "--jsonl", "-k", "4").stdout.splitlines()
    assert [json.loads(line) for line in lines] == whole["hits"]
    assert whole["version"] == 1
    assert set(whole["hits"][0]) >= {
        "number",
        "path",
        "start_s",
        "end_s",
        "best_s",
        "score",
        "level",
        "model",
        "offline",
    }
    assert [hit["number"] for hit in whole["hits"]] == [1, 2, 3, 4]


def test_queries_repeat_exactly(clips_library: Path, command: RunVidsearch) -> None:
    first, second = (command("query", "two circles", "--json").stdout for _ in range(2))
    assert first == second


def test_the_words_may_come_from_stdin(clips_library: Path, command: RunVidsearch) -> None:
    piped = command("query", "-", "--json", input=b"a red square moves left\n")
    given = command("query", "a red square moves left", "--json")
    assert piped.stdout == given.stdout


def test_under_and_min_score_narrow(clips_library: Path, command: RunVidsearch) -> None:
    clip = CLIPS / "yellow-star-blinks.mp4"
    hits = json.loads(command("query", "a yellow star", "--under", clip, "--json").stdout)["hits"]
    assert [hit["path"] for hit in hits] == [str(clip)]
    done = command("query", "a red square", "--min-score", "0.999")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr == b"Nothing found for 'a red square'.\n"


def test_what_matches_too_little_is_left_out_and_said_to_be(clips_library: Path, command: RunVidsearch) -> None:
    words = ("query", "a green cross", "-k", "50")
    shown, whole = (json.loads(command(*words, "--json", *more).stdout) for more in ((), ("--all",)))
    count = len(shown["hits"])
    assert whole["hits"][:count] == shown["hits"]
    assert {hit["level"] for hit in shown["hits"]} <= {"high", "medium", "low"}
    assert {hit["level"] for hit in whole["hits"][count:]} == {"none"}
    assert (shown["left_out"], whole["left_out"]) == (len(whole["hits"]) - count, 0)
    assert shown["left_out"] > 1
    done = command(*words)
    assert done.stderr.decode() == f"{shown['left_out']} weaker moments are not shown; --all shows them.\n"


def test_nothing_matches_though_something_is_nearest(clips_library: Path, command: RunVidsearch) -> None:
    clip = CLIPS / "yellow-star-blinks.mp4"  # one window, in which there is no square
    done = command("query", "a red square", "--under", clip)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Nothing matches 'a red square'; 1 weaker moment is not shown; --all shows them.\n"
    for given in (["--all"], ["--min-score", "-1"]):
        weak = command("query", "a red square", "--under", clip, *given)
        assert (weak.returncode, weak.stderr) == (0, b"")
        assert weak.stdout.decode().split("\t")[2] == "none"


def test_unknown_words_are_named(clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", "a helicopter with a red square")
    assert b"does not know: helicopter" in done.stderr


def test_a_query_of_unknown_words_alone_finds_nothing(clips_library: Path, command: RunVidsearch) -> None:
    done = command("query", "a zebra on the crossing", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["hits"] == []
    assert b"does not know: zebra, crossing; put it in words that it knows" in done.stderr


def test_a_closed_pipe_is_no_error(clips_library: Path) -> None:
    command = f'"{sys.executable}" -m vidsearch query "a star" --all --jsonl -k 50 | head -n 0; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["query"], 2, "Missing argument"),
        (["query", "   "], 2, "query is empty"),
        (["query", "x", "--json", "--jsonl"], 2, "choose one of"),
        (["index", "/no/such/folder"], 2, "There is no /no/such/folder"),
        (["index", ".", "--stride", "9"], 2, "longer than --window"),
        (["index", ".", "--device", "abacus"], 2, "abacus"),
        (["index", ".", "--model", "mobileviclip-huge"], 5, "mobileviclip-huge"),
        (["index", ".", "--model", "mobileviclip-small"], 5, "vidsearch models add mobileviclip-small --from FOLDER"),
        (["query", "x", "--model", "mobileviclip-small"], 5, "mobileviclip-nano"),
        (["remove", "/no/such/folder"], 2, "holds nothing under"),
    ],
)
def test_errors_are_one_sentence_with_an_exit_code(
    clips_library: Path, tmp_path: Path, command: RunVidsearch, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "new.mp4").write_bytes((CLIPS / "yellow-square-still.mp4").read_bytes())
    done = command(*arguments, cwd=tmp_path)
    assert words in done.stderr.decode()
    assert done.returncode == code
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["query", "x"], ["videos"], ["info"], ["remove", "."]])
def test_without_a_library_every_command_says_how_to_make_one(command: RunVidsearch, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.returncode == 4
    assert b"vidsearch index" in done.stderr


def test_a_damaged_library_is_named(own_home: Path, command: RunVidsearch) -> None:
    own_home.mkdir()
    (own_home / "library.sqlite3").write_bytes(os.urandom(40_000))
    done = command("videos")
    assert done.returncode == 4
    assert str(own_home).encode() in done.stderr


def test_info_tells_what_is_there(clips_library: Path, command: RunVidsearch) -> None:
    facts = json.loads(command("info", "--json").stdout)
    assert facts["folder"] == str(clips_library)
    assert facts["videos"]["indexed"] == len(list(CLIPS.glob("*.mp4")))
    assert facts["models"][0]["name"] == "mobileviclip-nano"
    assert facts["roots"] == [{"path": str(CLIPS), "offline": False}]
    assert command("info").stdout.startswith(b"library\t")
