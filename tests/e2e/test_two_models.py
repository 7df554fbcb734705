"""A second model beside the first: built while the first answers, listed, and freed."""

from __future__ import annotations

import json
from pathlib import Path

from seeded import TEXT_PRUNED, seeded, small_config
from support import CLIPS, RunVidsearch

from vidsearch.models.install import write_model_folder

OTHER = "mobileviclip-tiny"
QUERY = "a red square moves left"


def windows_by_model(vidsearch: RunVidsearch) -> dict[str, int]:
    models = json.loads(vidsearch("info", "--json").stdout)["models"]
    return {model["name"]: model["windows"] for model in models}


def test_a_second_model_is_built_listed_and_freed(clips_library: Path, vidsearch: RunVidsearch) -> None:
    network = seeded(small_config(OTHER, TEXT_PRUNED))
    write_model_folder(network, clips_library / "models" / OTHER, provenance={})
    before = json.loads(vidsearch("query", QUERY, "--json").stdout)["hits"]

    unknown = vidsearch("query", QUERY, "--model", OTHER)
    assert unknown.returncode == 4
    assert b"only with mobileviclip-nano" in unknown.stderr

    first = CLIPS / "blue-heart-grows.mp4"
    assert vidsearch("index", first, "--model", OTHER).returncode == 0  # as a run that was cut off after one video
    assert windows_by_model(vidsearch) == {"mobileviclip-nano": 40, OTHER: 1}
    assert json.loads(vidsearch("query", QUERY, "--json").stdout)["hits"] == before

    rest = json.loads(vidsearch("index", CLIPS, "--model", OTHER, "--json").stdout)
    assert len(rest["indexed"]) == 25 and rest["unchanged"] == 1
    assert windows_by_model(vidsearch) == {"mobileviclip-nano": 40, OTHER: 40}
    hits = json.loads(vidsearch("query", QUERY, "--model", OTHER, "--json").stdout)["hits"]
    assert {hit["model"] for hit in hits} == {OTHER}

    freed = vidsearch("remove", "--model", OTHER, "--json")
    assert json.loads(freed.stdout) == {"version": 1, "model": OTHER, "windows": 40}
    assert windows_by_model(vidsearch) == {"mobileviclip-nano": 40}
    assert json.loads(vidsearch("query", QUERY, "--json").stdout)["hits"] == before


def test_remove_wants_paths_or_a_model(clips_library: Path, vidsearch: RunVidsearch) -> None:
    for arguments in ([], [CLIPS, "--model", OTHER]):
        done = vidsearch("remove", *arguments)
        assert done.returncode == 2
        assert b"one of the two" in done.stderr
    absent = vidsearch("remove", "--model", OTHER)
    assert absent.returncode == 4
    assert b"it holds those of: mobileviclip-nano" in absent.stderr
