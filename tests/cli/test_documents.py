"""What the documents tell people to type exists, and their links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY

from vidsearch.cli.overview import COMMANDS
from vidsearch.cli.typer_app import commands

DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "ARCHITECTURE.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def command_lines(text: str) -> Iterator[str]:
    """What follows `vidsearch` in lines of code, without what such a line says about it after three spaces or a #."""
    for line in re.findall(r"^ {4}\S.*$", text, re.MULTILINE):
        for piece in line.split("vidsearch ")[1:]:
            yield re.split(r" {3}| \| |; | #", piece)[0]


def unknown_options(line: str) -> set[str]:
    """The options in a command line that its command does not have; `train` has a parser of its own."""
    node = commands(tuple(COMMANDS))
    known = {"--help", *_options(node)}
    for word in line.split():
        name = word.partition("|")[0]  # evaluate retrieval|actions
        if name not in getattr(node, "commands", {}):
            break
        node = node.commands[name]
        known |= _options(node)
    return set(OPTION.findall(line)) - known


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_in_a_document_exists(document: Path) -> None:
    lines = [line for line in command_lines(document.read_text(encoding="utf-8")) if not line.startswith("train ")]
    assert {line: unknown_options(line) for line in lines if unknown_options(line)} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_in_a_document_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_readme_has_command_lines_and_an_unknown_option_is_seen() -> None:
    assert len(list(command_lines((REPOSITORY / "README.md").read_text(encoding="utf-8")))) > 50
    assert unknown_options('query "a dog" --nearest -k 3') == {"--nearest"}
    assert unknown_options("models export NAME --to onnx --fp16") == {"--fp16"}
