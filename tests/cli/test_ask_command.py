"""`vidsearch ask`: what goes where, and each mistake with its sentence and exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from asking_model import make_answering_folder
from support import CLIPS, RunVidsearch
from typer.testing import CliRunner

from vidsearch.answering.answerer import open_answerer
from vidsearch.answering.interface import Clip, TimeRange
from vidsearch.cli import show
from vidsearch.cli.app import app
from vidsearch.cli.ask import padded
from vidsearch.errors import VidsearchError

CLIP = CLIPS / "red-square-left-then-up.mp4"
QUESTION = "what is there?"
FEW = ("--max-new-tokens", "4")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed models: the default one of `ask`, in small."""
    folder = tmp_path_factory.mktemp("models")
    make_answering_folder(folder / "mobilevideogpt-0.5b")
    return folder


@pytest.fixture
def asks(models: Path, monkeypatch: pytest.MonkeyPatch, vidsearch: RunVidsearch) -> RunVidsearch:
    """Runs the real program where the default model is installed."""
    monkeypatch.setenv("VIDSEARCH_MODEL_DIR", str(models))
    return vidsearch


def run(*arguments: str | Path, input: str | bytes | None = None) -> tuple[int, str, str]:
    """The command in this process: (exit code, stdout, stderr), errors as the program shows them."""
    done = CliRunner().invoke(app, ["ask", *map(str, arguments)], input=input)
    if isinstance(done.exception, VidsearchError):
        said = f"{done.stderr}vidsearch: {show.printable(str(done.exception))}\n"
        return done.exception.exit_code, done.stdout, said
    return done.exit_code, done.stdout, done.stderr


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(asks: RunVidsearch) -> None:
    done = asks("ask", CLIP, QUESTION, *FEW)
    assert done.returncode == 0, done.stderr.decode()
    answer = done.stdout.decode()
    assert re.fullmatch(r"\S+( \S+){0,3}\n", answer)
    assert done.stderr.decode().splitlines() == [
        "Looked at 00:00.0-00:06.0 of red-square-left-then-up.mp4: 16 frames encoded, 8 of them kept for motion; "
        "mobilevideogpt-0.5b on cpu (float32, 1 thread).",
        "The answer was cut after 4 tokens; --max-new-tokens lets it go on.",
    ]
    again = asks("ask", CLIP, QUESTION, *FEW)
    assert again.stdout == done.stdout
    assert b"16 frames (encoded earlier), 8 of them" in again.stderr


@pytest.fixture(scope="session")
def looked_at(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds what the model made of CLIP: most tests are not about looking."""
    cache = tmp_path_factory.mktemp("cache")
    answerer = open_answerer("mobilevideogpt-0.5b", models_dir=models, device="cpu", cache_dir=cache)
    answerer.encode(Clip(CLIP))
    answerer.encode(Clip(CLIP, TimeRange(1.0, 4.5)))
    return cache


@pytest.fixture
def here(models: Path, looked_at: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model for commands run in this process."""
    monkeypatch.setenv("VIDSEARCH_MODEL_DIR", str(models))
    shutil.copytree(looked_at, own_home / "cache")


@pytest.mark.usefixtures("here")
class TestInThisProcess:
    def test_several_questions_are_a_line_each(self) -> None:
        code, answers, said = run(CLIP, QUESTION, "who sings?", *FEW)
        assert code == 0
        assert len(answers.splitlines()) == 2
        assert [line for line in said.splitlines() if line.startswith(">")] == [f"> {QUESTION}", "> who sings?"]
        assert answers.splitlines()[0] == run(CLIP, QUESTION, *FEW)[1].strip("\n")

    def test_questions_come_from_stdin(self) -> None:
        code, answers, said = run(CLIP, "-", *FEW, input=f"\ufeff{QUESTION}\r\n\nwho sings?\n")
        assert [line for line in said.splitlines() if line.startswith(">")] == [f"> {QUESTION}", "> who sings?"]
        assert (code, answers) == (0, run(CLIP, QUESTION, "who sings?", *FEW)[1])

    def test_stdin_without_a_question_is_a_mistake(self) -> None:
        code, answers, said = run(CLIP, "-", input=" \n\n")
        assert (code, answers, said) == (2, "", "vidsearch: No question came from stdin; write one a line.\n")
        assert run(CLIP, "who sings?", "--chat", *FEW, input="")[0] == 0

    def test_bytes_from_stdin_that_are_no_text(self) -> None:
        code, answers, said = run(CLIP, "-", *FEW, input=b"who sings?\ncaf\xe9?\n")
        assert (code, len(answers.splitlines())) == (2, 1)
        assert said.endswith("vidsearch: The question caf\\xe9? is not UTF-8 text; write it in UTF-8 and ask again.\n")

    def test_a_conversation_goes_on(self) -> None:
        alone = run(CLIP, "-", *FEW, input=f"{QUESTION}\nwho sings?\n")[1].splitlines()
        code, talk, _ = run(CLIP, "--chat", *FEW, input=f"{QUESTION}\nwho sings?\n")
        assert code == 0
        assert talk.splitlines()[0] == alone[0]
        assert talk.splitlines()[1] != alone[1]
        assert run(CLIP, QUESTION, "--chat", *FEW, input="who sings?\n")[1] == talk

    def test_json_has_the_documented_fields(self) -> None:
        code, text, said = run(f"{CLIP}@1-4.5", QUESTION, "a zebra?", "--json", *FEW)
        assert (code, said) == (0, "")
        found = json.loads(text)
        also = run(f"{CLIP}@1-4.5", QUESTION, "a zebra?", "--json", "--verbose", *FEW)
        assert also[1] == text
        assert [line.split(" ")[0] for line in also[2].splitlines()] == ["Looked", "Frames"]
        assert {key: type(value).__name__ for key, value in found.items()} == {
            "version": "int",
            "path": "str",
            "start_s": "float",
            "end_s": "float",
            "frames_s": "list",
            "kept_s": "list",
            "keyframes_s": "list",
            "from_cache": "bool",
            "damage": "NoneType",
            "model": "str",
            "device": "str",
            "answers": "list",
        }
        assert (found["version"], found["path"], found["start_s"], found["end_s"]) == (1, str(CLIP), 1.0, 4.5)
        assert (len(found["frames_s"]), len(found["keyframes_s"])) == (16, 8)
        assert found["kept_s"] == found["keyframes_s"]
        first, second = found["answers"]
        assert first == {
            "question": QUESTION,
            "unknown_words": [],
            "answer": run(f"{CLIP}@1-4.5", QUESTION, *FEW)[1][:-1],
        } | {
            "tokens": 4,
            "cut_short": True,
            "finish_reason": "length",
        }
        assert second["unknown_words"] == ["zebra"]

    def test_a_range_is_said_in_two_ways(self) -> None:
        behind = run(f"{CLIP}@00:01-00:04.5", QUESTION, "-v", *FEW)
        given = run(CLIP, QUESTION, "-v", "--start", "1", "--end", "4.5", *FEW)
        assert behind[1] == given[1]
        assert "Looked at 00:01.0-00:04.5 of" in behind[2]
        wider = run(f"{CLIP}@1-4.5", QUESTION, "--pad", "0.5", *FEW)
        assert "Looked at 00:00.5-00:05.0 of" in wider[2]
        assert "Looked at 00:02.0-00:06.0 of" in run(f"{CLIP}@2-", QUESTION, *FEW)[2]

    def test_padding_leaves_an_open_side_open(self) -> None:
        assert padded(TimeRange(None, 7.5), 2.0) == TimeRange(None, 9.5)
        assert padded(TimeRange(1.0, None), 2.0) == TimeRange(0.0, None)

    def test_a_file_whose_name_looks_like_a_range_is_a_file(self, tmp_path: Path) -> None:
        name = shutil.copy(CLIP, tmp_path / "match@3-2")
        assert "Looked at 00:00.0-00:06.0 of match@3-2:" in run(name, QUESTION, *FEW)[2]

    def test_verbose_tells_every_frame(self) -> None:
        times = run(f"{CLIP}@1-4.5", QUESTION, "--verbose", *FEW)[2].splitlines()[1]
        assert re.fullmatch(r"Frames at (\d\.\d{3}\*? ){16}s \(\* kept for motion\)\.", times)
        assert times.count("*") == 9

    def test_what_the_rule_leaves_out_is_said(self, tmp_path: Path) -> None:
        assert "Nothing after" not in run(CLIP, QUESTION, *FEW)[2]
        said = run(f"{CLIP}@0-1", QUESTION, *FEW)[2]  # 30 frames: the rule takes the first 16
        assert "Nothing after 00:00.6 was looked at; --coverage full spreads the frames." in said
        assert "Nothing after" not in run(f"{CLIP}@0-1", QUESTION, "--coverage", "full", *FEW)[2]

    def test_a_range_of_less_than_a_tenth_of_a_second_does_not_look_empty(self) -> None:
        assert "Looked at 4.001-4.002 s of" in run(CLIP, QUESTION, "--start", "4.001", "--end", "4.002", *FEW)[2]

    def test_temperature_and_seed(self) -> None:
        drawn = {run(CLIP, QUESTION, "--temperature", "2", "--seed", seed, *FEW)[1] for seed in "1231"}
        assert len(drawn) == 3

    def test_words_that_the_model_does_not_know_are_named(self) -> None:
        assert "the model does not know: zebra; it answers without them." in run(CLIP, "what zebra?", *FEW)[2]

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ([CLIP], 2, "give a question, - to read questions from stdin, or --chat"),
            ([CLIP, " "], 2, "The question is empty"),
            ([CLIP, "-", "-"], 2, "stdin can be read once"),
            ([CLIP, "-", "--chat"], 2, "stdin can be read once"),
            ([f"{CLIP}@12..", QUESTION], 2, "'@12..' is not a range; write @12-20, @12- (to the end) or @-20"),
            (["1@0-1", QUESTION], 2, "hit 1 is a range already; widen it with --pad, or name its file"),
            (["1@1..", QUESTION], 2, "hit 1 is a range already; widen it with --pad, or name its file"),
            (["/no/such.mp4", QUESTION], 2, "There is no /no/such.mp4; give a video that exists"),
            ([f"{CLIP}@10-20", QUESTION], 2, "The range 00:10.0-00:20.0 lies outside"),
            ([f"{CLIP}@3-2", QUESTION], 2, "its end comes after its start"),
            ([f"{CLIP}@1:2:3:4-", QUESTION], 2, "'1:2:3:4' is not a time"),
            ([f"{CLIP}@100-", QUESTION], 2, "The range from 01:40.0 on lies outside"),
            ([CLIP, QUESTION, "--start", "noon"], 2, "'noon' is not a time"),
            ([f"{CLIP}@1-2", QUESTION, "--end", "3"], 2, "leave out --start and --end"),
            ([CLIP, QUESTION, "--pad", "1"], 2, "--pad goes with a range or a hit"),
            ([f"{CLIP}@1-2", QUESTION, "--pad", "inf"], 2, "less than or equal to 1000000000"),
            ([CLIP, QUESTION, "--seed", "1"], 2, "--seed goes with a --temperature above 0"),
            ([CLIP, QUESTION, "--coverage", "half"], 2, "'half' is none of reference, full"),
            ([CLIP, QUESTION, "--dtype", "int4"], 2, "'int4' is none of auto, float32, bfloat16, int8"),
            ([CLIP, QUESTION, "--device", "abacus"], 2, "'abacus' is not a device"),
            (
                [CLIP, QUESTION, "--model", "mobileviclip-nano"],
                5,
                "mobileviclip-nano searches and is not a model for ask",
            ),
            ([CLIP, QUESTION, "--model", "mobilevideogpt-9b"], 5, "no model is called 'mobilevideogpt-9b'"),
            ([CLIP, "now " * 300], 2, "ask a shorter question"),
            ([CLIPS], 2, "give a question"),
            ([CLIPS, QUESTION], 2, "is a folder; name one video in it"),
            ([CLIP, "caf\udce9?"], 2, "The question caf\\xe9? is not UTF-8 text"),
            ([CLIP, QUESTION, "--temperature", "1", "--seed", str(2**63)], 2, "Invalid value for '--seed'"),
            ([CLIP, QUESTION, "--temperature", "nan"], 2, "Invalid value for '--temperature'"),
        ],
    )
    def test_mistakes(self, arguments: list[str | Path], code: int, words: str) -> None:
        given, answers, said = run(*arguments)
        plain = " ".join(re.sub(r"[│╭╮╰╯─]", " ", said).split())
        assert words in plain
        assert (given, answers) == (code, "")

    def test_an_answer_that_the_model_cannot_end(self) -> None:
        said = run(CLIP, "now " * 90, "--max-new-tokens", "1000")[2].splitlines()[-1]
        assert re.fullmatch(r"The answer was cut after \d+ tokens: the model takes no more\.", said)

    def test_what_is_no_ordinary_file_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.mp4")
        code, _, said = run(tmp_path / "pipe.mp4", QUESTION)
        assert code == 2
        assert said.endswith("pipe.mp4 is not an ordinary file; save the video in one and ask about that.\n")

    def test_a_file_that_is_no_video(self, tmp_path: Path) -> None:
        (tmp_path / "notes.mp4").write_text("no video, only words")
        code, answers, said = run(tmp_path / "notes.mp4", QUESTION)
        assert (code, answers) == (3, "")
        assert re.fullmatch(r"vidsearch: .*notes\.mp4 .*\n", said)

    def test_an_answer_with_the_second_question_empty_is_not_begun(self) -> None:
        assert run(CLIP, QUESTION, "") == (
            2,
            "",
            "vidsearch: The question is empty; ask it in words, as in: vidsearch ask clip.mp4 'what happens?'\n",
        )


@pytest.mark.parametrize("arguments", [["-"], ["--chat"], [QUESTION, "-"]])
def test_a_stdin_without_a_question_is_told_before_a_model_is_asked_for(arguments: list[str]) -> None:
    code, answers, said = run(CLIP, *arguments, input="\n")
    assert (code, answers, said) == (2, "", "vidsearch: No question came from stdin; write one a line.\n")


def test_a_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "red\x1b[2J\nblue"
    assert show.on_terminal(answer) == answer  # the tests' stdout is none
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert show.on_terminal(answer) == "red\\x1b[2J\nblue"


def test_missing_weights_are_told_with_the_ways_forward(vidsearch: RunVidsearch) -> None:
    done = vidsearch("ask", CLIP, QUESTION)
    assert (done.returncode, done.stdout) == (5, b"")
    said = done.stderr.decode()
    assert said.startswith("vidsearch: the weights of mobilevideogpt-0.5b are not on this machine")
    assert "--model mobilevideogpt-nano" in said
    for command in ("models pull mobilevideogpt-0.5b --yes", "models add mobilevideogpt-0.5b --from"):
        assert f"vidsearch {command}" in said
        verb, option = command.split()[1], command.split()[3]
        assert option in vidsearch("models", verb, "--help").stdout.decode()
    assert said.count("\n") == 4  # what is wrong, and three ways on


def test_the_model_comes_from_the_environment(vidsearch: RunVidsearch) -> None:
    done = vidsearch("ask", CLIP, QUESTION, env={"VIDSEARCH_ASK_MODEL": "mobilevideogpt-1.5b"})
    assert done.returncode == 5
    assert b"the weights of mobilevideogpt-1.5b are not on this machine" in done.stderr


def test_help_says_that_answers_can_be_wrong(vidsearch: RunVidsearch) -> None:
    assert b"Answers can be wrong." in vidsearch("ask", "--help").stdout
