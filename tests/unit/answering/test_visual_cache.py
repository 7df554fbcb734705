"""Entries that are whole or not there, and a folder that stays within its limit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from vidsearch.answering.visual_cache import VisualCache, cache_key

TOKENS = np.arange(600, dtype=np.float16).reshape(20, 30)  # 1,200 bytes and a header
FACTS = {"start_s": 1.5, "times_s": [0.0, 0.25], "damage": None}


def test_an_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    VisualCache(tmp_path / "new", 10_000).put("k", TOKENS, FACTS)
    found = VisualCache(tmp_path / "new", 10_000).get("k")
    assert found is not None
    np.testing.assert_array_equal(found[0], TOKENS)
    assert (found[0].dtype, found[1]) == (np.float16, FACTS)
    assert VisualCache(tmp_path / "new", 10_000).get("other") is None


def test_the_entries_read_longest_ago_go_first(tmp_path: Path) -> None:
    cache = VisualCache(tmp_path, 5_000)
    for age, key in enumerate("abc"):
        cache.put(key, TOKENS, FACTS)
        os.utime(tmp_path / f"{key}.visual", ns=(age, age))
    assert cache.get("a") is not None  # now the youngest
    cache.put("d", TOKENS, FACTS)
    assert [key for key in "abcd" if (tmp_path / f"{key}.visual").exists()] == ["a", "c", "d"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".visual"] * 3


def test_what_a_killed_process_left_goes_as_well(tmp_path: Path) -> None:
    cache = VisualCache(tmp_path, 5_000)
    (tmp_path / ".new-abcdef").write_bytes(bytes(3_000))
    os.utime(tmp_path / ".new-abcdef", ns=(0, 0))
    (tmp_path / "notes.txt").write_bytes(bytes(9_000))  # not of the cache
    for key in "ab":
        cache.put(key, TOKENS, FACTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.visual", "b.visual", "notes.txt"]


def test_an_entry_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    VisualCache(tmp_path / "new", 0).put("k", TOKENS, FACTS)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [b"", b"no entry", None])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: bytes | None) -> None:
    cache = VisualCache(tmp_path, 10_000)
    cache.put("k", TOKENS, FACTS)
    entry = tmp_path / "k.visual"
    entry.write_bytes(entry.read_bytes()[:-1] if damage is None else damage)
    assert cache.get("k") is None
    cache.put("k", TOKENS, FACTS)
    assert cache.get("k") is not None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VisualCache(tmp_path / "file" / "cache", 10_000)
    cache.put("k", TOKENS, FACTS)
    assert cache.get("k") is None


def test_the_key_depends_on_every_part() -> None:
    keys = {cache_key("print", None, "full"), cache_key("print", 1.0, "full"), cache_key("print", None, "reference")}
    assert len(keys) == 3
    assert cache_key("print", None, "full") in keys


def test_the_environment_says_how_much_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSEARCH_CACHE_MB", "0")
    cache = VisualCache(tmp_path)
    cache.put("k", TOKENS, FACTS)
    assert cache.get("k") is None
    monkeypatch.setenv("VIDSEARCH_CACHE_MB", "1")
    cache = VisualCache(tmp_path)
    cache.put("k", TOKENS, FACTS)
    assert cache.get("k") is not None
