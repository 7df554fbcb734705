"""What the program prints with --json is what `vidsearch schema` says, and no field of it is left undescribed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from json_schemas import follows
from jsonschema import Draft202012Validator
from support import CLIPS, RunVidsearch

from vidsearch.cli.schema import FOLDER, schema_names

TESTS = Path(__file__).parents[1]
CLIP = CLIPS / "red-square-left.mp4"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, indexed_clips: Path) -> Path:
    """A library of this module's own."""
    home = tmp_path_factory.mktemp("schemas") / "home"
    shutil.copytree(indexed_clips, home)
    return home


COMMANDS: dict[str, tuple[str | Path, ...]] = {
    "query": ("query", "a purple star", "--json", "--all", "--group", "video"),
    "hit": ("query", "a purple star", "--jsonl", "--ask", "what?", "--ask-model", "mobilevideogpt-nano"),
    "index": ("index", CLIPS, "--json", "--dry-run"),
    "videos": ("videos", "--json"),
    "export": ("export", "-", "--json", "--to"),
    "info": ("info", "--json"),
    "ask": ("ask", CLIP, "what moves?", "--json", "--model", "mobilevideogpt-nano"),
    "remove": ("remove", CLIPS / "red-square-up-then-left.mp4", "--json"),
    "check": ("check", "--json"),
    "doctor": ("doctor", "--json"),
    "config": ("config", "--json"),
    "models-list": ("models", "list", "--json"),
    "models-verify": ("models", "verify", "--json"),
}


# Tried where such a command runs anyway: the file of tests that gives its output to `follows`.
ELSEWHERE = {
    "duplicates": "cli/test_similar_command.py",
    "evaluate-actions": "cli/test_evaluate.py",
    "evaluate-captions": "cli/test_evaluate_captions.py",
    "evaluate-features": "cli/test_evaluate_grounding.py",
    "evaluate-grounding": "cli/test_evaluate_grounding.py",
    "evaluate-questions": "cli/test_evaluate_questions.py",
    "evaluate-retrieval": "cli/test_evaluate.py",
    "evaluate-settle": "unit/evaluation/test_settle.py",
    "models-export": "cli/test_models_export.py",
    "models-profile": "cli/test_models_export.py",
}


def test_every_schema_is_tried(command: RunVidsearch) -> None:
    assert sorted([*COMMANDS, *ELSEWHERE]) == schema_names()
    for name, tests in ELSEWHERE.items():
        assert f'follows("{name}", done.stdout)' in (TESTS / tests).read_text(encoding="utf-8"), name
    assert command("schema").stdout.decode().split() == schema_names()
    for name in schema_names():
        assert command("schema", name).stdout == (FOLDER / f"{name}.json").read_bytes()
    assert command("schema", "qery").returncode == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_what_its_schema_says(command: RunVidsearch, results: Path, name: str, tmp_path: Path) -> None:
    moment = json.dumps({"path": str(CLIP), "start_s": 0, "end_s": 1}).encode() if name == "export" else None
    more = (tmp_path / "clips",) if name == "export" else ()
    printed = command(*COMMANDS[name], *more, input=moment, env={"VIDSEARCH_HOME": str(results)})
    assert printed.returncode == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert lines
    for line in lines:
        follows(name, line)


def test_a_schema_tells_a_wrong_document(command: RunVidsearch) -> None:
    validator = Draft202012Validator(json.loads(command("schema", "query").stdout))
    assert not validator.is_valid({"version": 1, "query": "a", "model": "m", "hits": [{"number": 1}], "left_out": 0})
    assert not validator.is_valid({"version": 2, "query": "a", "model": "m", "hits": [], "left_out": 0})
    assert validator.is_valid({"version": 1, "query": "a", "written": "a", "model": "m", "hits": [], "left_out": 0})
