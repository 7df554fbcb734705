"""What the program prints with --json is what `vidsearch schema` says, and no field of it is left undescribed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import CLIPS, RunVidsearch

from vidsearch.cli.schema import schema_names

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


def test_every_schema_is_tried(command: RunVidsearch) -> None:
    assert set(COMMANDS) == set(schema_names())
    assert command("schema").stdout.decode().split() == schema_names()
    assert command("schema", "qery").returncode == 2


def strict(schema: Any) -> Any:
    """The same schema, which refuses fields that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {} if "properties" not in schema else {"additionalProperties": False}
    return closed | {key: strict(value) for key, value in schema.items()}


def documents(printed: bytes) -> Iterator[Any]:
    for line in printed.splitlines():
        yield json.loads(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_is_what_its_schema_says(command: RunVidsearch, results: Path, name: str, tmp_path: Path) -> None:
    moment = json.dumps({"path": str(CLIP), "start_s": 0, "end_s": 1}).encode() if name == "export" else None
    more = (tmp_path / "clips",) if name == "export" else ()
    printed = command(*COMMANDS[name], *more, input=moment, env={"VIDSEARCH_HOME": str(results)})
    assert printed.returncode == 0, printed.stderr
    schema = json.loads(command("schema", name).stdout)
    Draft202012Validator.check_schema(schema)
    found = list(documents(printed.stdout))
    assert found
    for document in found:
        Draft202012Validator(strict(schema)).validate(document)


def test_a_schema_tells_a_wrong_document(command: RunVidsearch) -> None:
    validator = Draft202012Validator(json.loads(command("schema", "query").stdout))
    assert not validator.is_valid({"version": 1, "query": "a", "model": "m", "hits": [{"number": 1}], "left_out": 0})
    assert not validator.is_valid({"version": 2, "query": "a", "model": "m", "hits": [], "left_out": 0})
    assert validator.is_valid({"version": 1, "query": "a", "written": "a", "model": "m", "hits": [], "left_out": 0})
