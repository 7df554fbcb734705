"""A fingerprint follows the content, not the name, and reads little."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vidsearch.errors import VideoError
from vidsearch.video.fingerprint import HEAD_BYTES, SAMPLE_BYTES, SAMPLES, TAIL_BYTES, fingerprint


def test_a_renamed_copy_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(os.urandom(5000))
    before = fingerprint(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "b.mkv")
    assert fingerprint(tmp_path / "b.mkv") == before


@pytest.mark.parametrize("place", [0, HEAD_BYTES - 1, 3 * HEAD_BYTES - 1], ids=["first", "end of head", "last"])
def test_a_changed_byte_in_head_or_tail_changes_it(tmp_path: Path, place: int) -> None:
    content = bytearray(3 * HEAD_BYTES)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


@pytest.mark.parametrize("mib", [1, 2, 3, 50])
def test_another_middle_changes_it(tmp_path: Path, mib: int) -> None:
    """Two raw videos of one size with the same first and last pictures."""
    size = mib * (1 << 20) + 300_000
    (tmp_path / "a").write_bytes(bytes(size))
    other = bytearray(size)
    other[HEAD_BYTES:-TAIL_BYTES] = b"\x01" * (size - HEAD_BYTES - TAIL_BYTES)
    (tmp_path / "b").write_bytes(other)
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


@pytest.mark.parametrize("place", [HEAD_BYTES, HEAD_BYTES + 300_000, HEAD_BYTES + 524_287])
def test_a_short_middle_is_read_whole(tmp_path: Path, place: int) -> None:
    content = bytearray(HEAD_BYTES + SAMPLES * SAMPLE_BYTES + TAIL_BYTES)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


@pytest.mark.parametrize("size", [0, 10, HEAD_BYTES + 5, 4 * HEAD_BYTES])
def test_it_begins_with_the_fingerprint_of_earlier_versions(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    earlier = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    earlier.update(content[:HEAD_BYTES])
    earlier.update(content[-TAIL_BYTES:])
    assert fingerprint(tmp_path / "a").startswith(earlier.hexdigest() + "-")


def test_a_file_of_another_length_has_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    (tmp_path / "b").write_bytes(bytes(11))
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_a_huge_sparse_file_costs_a_small_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(100 << 30)  # reading it whole would outlast the test's time limit
    assert len(fingerprint(tmp_path / "huge.mp4")) == 65


def test_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="not there now") as caught:
        fingerprint(tmp_path / "gone.mp4")
    assert caught.value.kind == "vanished"


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        fingerprint(tmp_path)
    assert caught.value.kind == "unreadable"
