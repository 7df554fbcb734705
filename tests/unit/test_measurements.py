"""What was measured is found again by what it depends on, and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch import dirs, measurements
from vidsearch.machine import cores, processor

HERE = {"processor": "fast", "torch": "2.6"}


def files() -> list[Path]:
    return sorted((dirs.cache_dir() / "measured").glob("*.json"))


def test_what_was_kept_is_found() -> None:
    assert measurements.kept("runtime", HERE) is None
    measurements.keep("runtime", HERE, {"ms": 2.5})
    assert measurements.kept("runtime", HERE) == {"ms": 2.5}
    measurements.keep("runtime", HERE, {"ms": 3.5})
    assert measurements.kept("runtime", HERE) == {"ms": 3.5} and len(files()) == 1


@pytest.mark.parametrize("other", [HERE | {"processor": "slow"}, HERE | {"torch": "2.7"}, HERE | {"model": "x"}])
def test_another_machine_version_or_model_finds_nothing(other: dict[str, str]) -> None:
    measurements.keep("runtime", HERE, {"ms": 2.5})
    assert measurements.kept("runtime", other) is None
    assert measurements.kept("layout", HERE) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"depends_on": {"processor": "slow"}, "found": {"ms": 1}}', b"null"],
)
def test_a_damaged_file_is_not_used_and_is_replaced(content: bytes) -> None:
    measurements.keep("runtime", HERE, {"ms": 2.5})
    [path] = files()
    path.write_bytes(content)
    assert measurements.kept("runtime", HERE) is None
    measurements.keep("runtime", HERE, {"ms": 3.5})
    assert measurements.kept("runtime", HERE) == {"ms": 3.5}


def test_what_is_no_object_is_not_used() -> None:
    measurements.keep("runtime", HERE, {"ms": 2.5})
    [path] = files()
    path.write_text(json.dumps({"depends_on": HERE, "found": [1]}))
    assert measurements.kept("runtime", HERE) is None


def test_a_folder_that_cannot_be_made_is_no_error() -> None:
    dirs.cache_dir().parent.mkdir(parents=True, exist_ok=True)
    dirs.cache_dir().write_text("a file where the folder should be")
    measurements.keep("runtime", HERE, {"ms": 2.5})
    assert measurements.kept("runtime", HERE) is None


def test_the_folder_stays_small() -> None:
    for number in range(300):
        measurements.keep("runtime", HERE | {"model": str(number)}, {"ms": number, "more": "x" * 1000})
    assert sum(path.stat().st_size for path in files()) <= 100_000
    assert measurements.kept("runtime", HERE | {"model": "299"}) is not None


def test_the_machine_says_what_it_is() -> None:
    assert cores() >= 1
    assert processor() == processor() != ""
