"""`vidsearch shell`: lines are queries or commands, what is open stays open, and a mistake ends nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch, run_on_terminal

from vidsearch.cli.shell import Completer
from vidsearch.embedding import embedder


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were opened for words."""
    names: list[str] = []
    open_really = embedder.open_text_embedder

    def noted(model: str, **options: object) -> object:
        names.append(model)
        return open_really(model, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(embedder, "open_text_embedder", noted)
    return names


def test_lines_are_queries_and_commands(command: RunVidsearch, clips_library: Path, opened: list[str]) -> None:
    lines = (
        'a red square moving left top:1\nquery "a star" -k 1 --all --format {number}\nsince:x\nquery "a\nexit\nno more'
    )
    told = command("shell", env={"VIDSEARCH_HOME": str(clips_library)}, input=lines.encode())
    assert told.returncode == 0
    first, second = told.stdout.decode().splitlines()
    assert first.endswith(str(CLIPS / "red-square-left.mp4"))
    assert second == "1"
    says = told.stderr.decode()
    assert "since: x is not a date" in says or "since" in says
    assert "The line cannot be read (no closing quotation)" in says
    assert opened == ["mobileviclip-nano"]


def test_a_prompt_answers_and_keeps_its_history(clips_library: Path, tmp_path: Path) -> None:
    code, screen = run_on_terminal(
        [sys.executable, "-m", "vidsearch", "shell"],
        b"a red square moving left top:1\nexit\n",
        {"VIDSEARCH_HOME": str(clips_library)},
    )
    assert code == 0
    assert "vidsearch> " in screen
    assert "red-square-left.mp4" in screen
    assert "a red square moving left top:1" in (clips_library / "cache" / "shell-history").read_text()


def test_what_is_typed_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "holiday [1].mp4").touch()
    (tmp_path / "house").mkdir()
    monkeypatch.chdir(tmp_path)
    complete = Completer()
    assert complete.proposals("", "ind") == ["index "]
    assert complete.proposals("query x ", "--per") == ["--per-video "]
    assert complete.proposals("models ", "p") == []
    assert complete.proposals("index ", "ho") == ["holiday [1].mp4 ", "house/"]
    assert complete.proposals("index ", "holiday [") == ["holiday [1].mp4 "]
