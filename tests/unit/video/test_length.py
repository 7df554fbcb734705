"""The length of a file as players tell it, beside what its pictures fill."""

import struct
from pathlib import Path

import pytest
from video_samples import even_times, make_video

from vidsearch.records import FrameSpec
from vidsearch.video.boxes import movie
from vidsearch.video.reader import open_reader

UNKNOWN = 0xFFFFFFFF


def movie_header(path: Path) -> int:
    """Where the content of `mvhd` begins."""
    return path.read_bytes().index(b"mvhd") + 4


def restate(path: Path, length_s: float | None) -> None:
    """Write another length into the movie header (version 0: flags, two times, scale, length)."""
    data = bytearray(path.read_bytes())
    place = movie_header(path) + 12
    scale = struct.unpack_from(">I", data, place)[0]
    struct.pack_into(">I", data, place + 4, UNKNOWN if length_s is None else round(length_s * scale))
    path.write_bytes(data)


def movie_length_s(path: Path) -> float | None:
    index = movie(path)
    assert index is not None
    return index.length_s


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "two-seconds.mp4", even_times(50, 25.0))


def test_the_movie_header_states_the_length(video: Path) -> None:
    assert movie_length_s(video) == pytest.approx(2.0, abs=0.04)
    restate(video, 3.5)
    assert movie_length_s(video) == pytest.approx(3.5, abs=1e-3)


@pytest.mark.parametrize("length_s", [None, 0.0], ids=["unknown", "not yet written"])
def test_a_movie_header_without_a_length_leaves_it_to_the_streams(video: Path, length_s: float | None) -> None:
    restate(video, length_s)
    assert movie_length_s(video) is None
    with open_reader(video, FrameSpec(32)) as reader:
        assert reader.facts.duration_s == pytest.approx(2.0, abs=0.04)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


@pytest.mark.parametrize(
    ("header", "length_s"),
    [(struct.pack(">B3x8x8xIQ", 1, 1000, 5_000_000_000), 5_000_000.0), (b"\x01" + bytes(10), None)],
    ids=["whole", "cut off"],
)
def test_a_movie_header_of_version_1_has_wide_fields(tmp_path: Path, header: bytes, length_s: float | None) -> None:
    path = tmp_path / "wide.mp4"
    path.write_bytes(box(b"ftyp", b"isom") + box(b"moov", box(b"free", b"") + box(b"mvhd", header)))
    assert movie_length_s(path) == length_s


def test_the_stated_length_counts_the_sound_and_the_windows_do_not(video: Path) -> None:
    restate(video, 3.5)  # as where the sound goes on after the last picture
    with open_reader(video, FrameSpec(32)) as reader:
        assert reader.facts.duration_s == pytest.approx(3.5, abs=1e-3)
        assert reader.facts.picture_s == pytest.approx(2.0, abs=1e-3)


def test_the_stated_length_is_no_shorter_than_the_video(video: Path) -> None:
    restate(video, 0.5)
    with open_reader(video, FrameSpec(32)) as reader:
        assert reader.facts.duration_s == pytest.approx(2.0, abs=0.04)


def test_a_damaged_file_is_as_long_as_what_is_left_of_it(tmp_path: Path) -> None:
    index_first = {"movflags": "faststart"}
    video = make_video(tmp_path / "cut.mp4", even_times(50, 25.0), container_options=index_first)
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) * 2 // 3])
    with open_reader(video, FrameSpec(32)) as reader:
        assert reader.facts.damage
        assert reader.facts.duration_s == reader.facts.picture_s < 2.0
