"""index → query → ask with a small network under the default model's name; a process where it matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from asking_model import make_answering_folder
from support import CLIPS, RunVidsearch, environment

QUESTION = "what is there?"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_answering_folder(folder / "mobilevideogpt-0.5b")
    return folder


@pytest.fixture
def program(models: Path, clips_library: Path, monkeypatch: pytest.MonkeyPatch, command: RunVidsearch) -> RunVidsearch:
    """The program where examples/clips is indexed and the answering model installed."""
    monkeypatch.setenv("VIDSEARCH_MODEL_DIR", str(models))
    return command


def test_a_hit_of_the_last_query_is_asked_about(program: RunVidsearch) -> None:
    hits = json.loads(program("query", "a yellow star blinks", "-k", "2", "--json").stdout)["hits"]
    done = program("ask", "2", QUESTION, "--json", "--pad", "0.5", "--max-new-tokens", "4")
    assert done.returncode == 0, done.stderr.decode()
    asked = json.loads(done.stdout)
    assert asked["path"] == hits[1]["path"]
    assert asked["start_s"] == max(0.0, hits[1]["start_s"] - 0.5)
    unknown = program("ask", "3", QUESTION)
    assert (unknown.returncode, unknown.stdout) == (2, b"")
    assert b"There is no hit 3: the last query, 'a yellow star blinks', found 2;" in unknown.stderr


def test_without_a_query_there_is_no_hit(models: Path, clips_library: Path, program: RunVidsearch) -> None:
    done = program("ask", "1", QUESTION)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"There is no hit 1: no query was made yet" in done.stderr


def test_a_query_asks_about_its_best_hits(program: RunVidsearch) -> None:
    arguments = ("query", "a yellow star blinks", "-k", "3", "--ask", QUESTION, "--ask", "who sings?", "--ask-top", "2")
    lines = program(*arguments).stdout.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1", "", "", "2", "", "", "3"]
    found = json.loads(program(*arguments, "--json").stdout)["hits"]
    assert ["asked" in hit for hit in found] == [True, True, False]
    answers = [answer["answer"].replace("\n", "\\n") for hit in found[:2] for answer in hit["asked"]["answers"]]
    assert answers == [line[1:] for line in lines if line.startswith("\t")]
    assert all(hit["asked"]["from_cache"] for hit in found[:2])


def test_a_hit_that_is_gone_is_told_and_the_others_are_answered(program: RunVidsearch, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("yellow-star-blinks.mp4", "red-square-left.mp4"):
        (own / name).write_bytes((CLIPS / name).read_bytes())
    home = {"VIDSEARCH_HOME": str(tmp_path / "own-home")}
    assert program("index", own, env=home).returncode == 0
    (own / "yellow-star-blinks.mp4").unlink()
    done = program("query", "a yellow star blinks", "--ask", QUESTION, "--ask-top", "2", "--all", "--jsonl", env=home)
    assert done.returncode == 3, done.stderr.decode()
    gone, there = (json.loads(line)["asked"] for line in done.stdout.splitlines())
    assert gone == {
        "error": f"There is no {own / 'yellow-star-blinks.mp4'}; give a video that exists, or the number of a hit."
    }
    assert there["path"] == str(own / "red-square-left.mp4")
    assert [answer["question"] for answer in there["answers"]] == [QUESTION]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ask-top", "2"], "--ask-top goes with --ask"),
        (["--ask-model", "mobilevideogpt-nano"], "--ask-model goes with --ask"),
        (["--ask", QUESTION, "-f"], "leave out --ask"),
        (["--ask", " "], "The question is empty"),
    ],
)
def test_mistakes_of_a_query_that_asks(program: RunVidsearch, arguments: list[str], words: str) -> None:
    done = program("query", "a star", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()


def test_a_query_asks_on_the_device_of_the_environment(program: RunVidsearch) -> None:
    done = program("query", "a star", "--ask", QUESTION, env={"VIDSEARCH_DEVICE": "cuda:99"})
    assert done.returncode == 2
    assert b"this machine has no device 'cuda:99'" in done.stderr


def test_a_query_that_would_ask_without_weights_finds_nothing_either(
    command: RunVidsearch, clips_library: Path
) -> None:
    done = command("query", "a star", "--ask", QUESTION)
    assert (done.returncode, done.stdout) == (5, b"")


def test_ctrl_c_ends_the_line_and_the_program(program: RunVidsearch) -> None:
    """Stopped in the middle of an answer that would have hundreds of words."""
    clip = CLIPS / "yellow-star-blinks.mp4"
    assert program("ask", clip, QUESTION, "--max-new-tokens", "1").returncode == 0  # the clip is cached
    command = [sys.executable, "-u", "-m", "vidsearch", "ask", str(clip), "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
    run = subprocess.Popen(command, env=environment(), start_new_session=True, **pipes)  # type: ignore[call-overload]
    run.stdin.write(f"{QUESTION}\n".encode() * 500)
    first = run.stdout.read(5)
    assert first
    os.killpg(run.pid, signal.SIGINT)
    rest, complaints = run.communicate(timeout=60)
    assert run.returncode == 130
    assert (first + rest).endswith(b"\n")
    assert b"Traceback" not in complaints


def test_a_closed_pipe_is_no_error(program: RunVidsearch) -> None:
    """Nor is a stdin that the shell closed."""
    clip = CLIPS / "yellow-star-blinks.mp4"
    command = (
        f'"{sys.executable}" -m vidsearch ask "{clip}" "{QUESTION}" "who?" <&- | head -c 3; exit ${{PIPESTATUS[0]}}'
    )
    done = subprocess.run(["bash", "-c", command], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_what_needs_no_torch_imports_none(vidsearch: RunVidsearch) -> None:
    """Help, a mistake and missing weights answer at once."""
    script = (
        "import sys; from vidsearch.cli.app import run\n"
        "codes = [run(['ask', 'a.mp4', 'why?']), run(['ask', 'a.mp4', '']), run(['ask', '--help'])]\n"
        "print(codes, sorted({'torch', 'tokenizers', 'decord', 'av'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, check=True, text=True)
    assert done.stderr.splitlines()[-1] == "[5, 2, 0] []"
