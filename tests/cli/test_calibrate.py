"""`vidsearch train calibrate`: levels from queries about clips that are indexed, kept and used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch

from vidsearch.errors import LibraryError, VidsearchError
from vidsearch.training.commands import main

COLOURS, SHAPES = ("red", "green", "yellow", "purple", "white"), ("ring", "triangle", "heart", "arrow")
CALIBRATE = ("calibrate", "--model", "mobileviclip-nano")


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """A sentence about each of the clips (their names), and twenty about shapes in colours that some of them lack."""
    rows = [f"{clip},{clip.stem.replace('-', ' ')}" for clip in sorted(CLIPS.glob("*.mp4"))]
    rows += [f",a {colour} {shape} shrinks" for colour in COLOURS for shape in SHAPES]
    file = tmp_path / "queries.csv"
    file.write_text("\n".join(["file,text", *rows]))
    return file


def test_levels_are_measured_kept_shown_and_forgotten(
    queries: Path, clips_library: Path, vidsearch: RunVidsearch, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*CALIBRATE, "--queries", str(queries)])
    printed = capsys.readouterr().out.splitlines()
    found = json.loads(printed[-1])
    assert found["measured"] | {"date": "", "rule": ""} == {
        "date": "", "videos": 26, "present": 26, "absent": 20, "rule": "",
    }  # fmt: skip
    assert sum(level["right"] for level in found["hits"].values()) > 20  # nano finds most clips by their names
    own = clips_library / "models" / ".levels" / "mobileviclip-nano.json"
    assert f"Kept in {own};" in printed[-2]
    levels = json.loads(own.read_text())
    assert {name: levels[name] for name in ("high", "medium", "low")} == {
        name: found[name] for name in ("high", "medium", "low")
    }
    facts = json.loads(vidsearch("models", "info", "mobileviclip-nano", "--json").stdout)
    assert (facts["score_levels"], facts["score_levels_file"]) == (levels, str(own))
    [best] = json.loads(vidsearch("query", "a yellow star blinks", "-k", "1", "--json").stdout)["hits"]
    assert best["level"] == next(name for name in ("high", "medium", "low") if best["score"] >= levels[name])
    main([*CALIBRATE, "--forget"])
    main([*CALIBRATE, "--forget"])
    assert capsys.readouterr().out == (
        "mobileviclip-nano has again the levels it came with.\nmobileviclip-nano has no levels of yours to forget.\n"
    )
    assert not own.exists()


def test_videos_that_are_not_indexed_are_named(queries: Path, own_home: Path, clips_library: Path) -> None:
    queries.write_text(queries.read_text().replace(str(CLIPS), "elsewhere"))
    with pytest.raises(LibraryError, match="26 of the videos are not indexed with mobileviclip-nano"):
        main([*CALIBRATE, "--queries", str(queries)])


@pytest.mark.parametrize("given", [(), ("--forget", "--queries", "x.csv")])
def test_one_thing_is_asked_for(given: tuple[str, ...]) -> None:
    with pytest.raises(VidsearchError, match="either --queries FILE"):
        main([*CALIBRATE, *given])
