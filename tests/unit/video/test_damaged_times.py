"""Time stamps that are wrong make no windows without pictures, and what differs from a file's claims is said."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from video_samples import even_times, make_video, number_in

from vidsearch.errors import VideoError
from vidsearch.records import ClipFrames, FrameSpec, VideoFacts, WindowSpec
from vidsearch.video.reader import open_reader, read_windows
from vidsearch.video.timeline import StatedLengths, recordings, stretches, trusted
from vidsearch.video.windows import windows_of

SPEC = FrameSpec(32)


def read(path: Path) -> tuple[list[ClipFrames], VideoFacts]:
    with open_reader(path, SPEC) as reader:
        return list(read_windows(reader, WindowSpec())), reader.facts


def move_last(source: Path, target: Path, by_s: float) -> Path:
    """`source` with the last packet later, by copying its packets."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.dts is not None and packet.pts is not None]
        assert stream.time_base is not None
        packets[-1].pts += round(by_s / stream.time_base)
        packets[-1].dts += round(by_s / stream.time_base)
        for packet in packets:
            packet.stream = copy
            new.mux(packet)
    return target


def overwrite(path: Path, box: bytes, offset: int, value: int) -> Path:
    """A 32-bit field of the first box of that name, `offset` bytes into its content."""
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(box) + 4 + offset, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("by_s", [10_000.0, 100_000.0])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_one_wrong_last_time_does_not_make_hours(tmp_path: Path, suffix: str, by_s: float) -> None:
    good = make_video(tmp_path / "good.mkv", even_times(100, 25))
    clips, facts = read(move_last(good, tmp_path / f"late{suffix}", by_s))
    assert len(clips) == 1
    assert facts.duration_s == facts.picture_s == pytest.approx(4, abs=0.1)
    assert "the time stamps of some pictures are wrong" in str(facts.damage)


def test_a_hole_in_the_times_is_a_hole_in_the_windows(tmp_path: Path) -> None:
    path = make_video(tmp_path / "hole.mkv", even_times(100, 25) + even_times(100, 25, start_s=300.0))
    clips, facts = read(path)
    assert [(clip.window.start_s, clip.window.end_s) for clip in clips] == [(0.0, 4.0), (300.0, 304.0)]
    assert [number_in(clip.frames[0]) for clip in clips] == [6, 106]
    assert "has a hole of 296 s in its time stamps" in str(facts.damage)


def test_slides_are_found_where_they_begin(tmp_path: Path) -> None:
    """Pictures that stand for a minute each: a variable rate, and no damage."""
    clips, facts = read(make_video(tmp_path / "slides.mkv", even_times(10, 1 / 60)))
    assert [clip.window.start_s for clip in clips] == [60.0 * number for number in range(10)]
    assert [number_in(clip.frames[0]) for clip in clips] == list(range(10))
    assert facts.damage is None


def test_one_huge_step_of_an_mp4_does_not_make_hours(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [*even_times(50, 25), 2.5])
    clips, facts = read(overwrite(path, b"stts", 12, 0x7FFFFFF))
    assert len(clips) <= 2
    assert facts.damage is not None


def test_shortened_steps_of_an_mp4_are_told(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", even_times(500, 25))
    clips, facts = read(overwrite(path, b"stts", 12, 1))
    assert len(clips) == 1
    assert "claims 20.0 s, of which 0.0 s are there" in str(facts.damage)
    assert facts.duration_s < 1


@pytest.mark.parametrize("place", [12, 16], ids=["time scale", "length"])
def test_a_movie_header_that_claims_weeks_is_not_shown(tmp_path: Path, place: int) -> None:
    path = make_video(tmp_path / "a.mp4", even_times(100, 25))
    clips, facts = read(overwrite(path, b"mvhd", place, 1 if place == 12 else 0x7FFFFFFF))
    assert len(clips) == 1
    assert facts.duration_s == pytest.approx(4.0, abs=0.1)
    assert "of which 4.0 s are there" in str(facts.damage)


def test_a_matroska_file_that_holds_less_than_it_claims_is_told(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", even_times(100, 25))
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88") + 3  # Duration, 8 bytes of floating point, in milliseconds
    struct.pack_into(">d", data, place, 4_920_000.0)
    path.write_bytes(data)
    clips, facts = read(path)
    assert len(clips) == 1
    assert "claims 4920.0 s, of which 4.0 s are there" in str(facts.damage)
    assert facts.duration_s == pytest.approx(4.0, abs=0.1)


def test_pictures_that_come_out_broken_are_not_shown(tmp_path: Path) -> None:
    """Bytes in the middle are lost: every picture that is given is a whole one of its own time."""
    path = make_video(tmp_path / "a.mkv", even_times(500, 25), key_every=50, codec_options={"crf": "10"})
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) // 2, 700):
        data[place : place + 40] = bytes(40)
    path.write_bytes(data)
    with open_reader(path, SPEC) as reader:
        times = np.arange(0.02, 19.5, 0.5).tolist()
        shown = [(start_s, number_in(picture)) for start_s, picture in reader.pictures_at(times)]
        assert "some pictures of its 20.0 s are lost or broken" in str(reader.facts.damage)
    assert [number for _, number in shown] == [round(start_s * 25) for start_s, _ in shown]
    assert len(set(shown)) < len(times)  # some are gone, and an earlier one stands in


def in_order(_: np.ndarray) -> None:
    """As they are."""


def one_far(times: np.ndarray) -> None:
    times[40] += 5_000


def one_back(times: np.ndarray) -> None:
    times[140] -= 5


def group_far(times: np.ndarray) -> None:
    times[50:90] += 400


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [(in_order, set()), (one_far, {40}), (one_back, {140}), (group_far, set(range(50, 90)))],
    ids=["none", "one far", "one back", "a group moved and undone"],
)
def test_times_that_others_contradict_are_not_trusted(damage: Callable[[np.ndarray], None], wrong: set[int]) -> None:
    times = np.arange(200) / 25
    times[1::4], times[2::4] = times[2::4].copy(), times[1::4].copy()  # as reordered pictures come
    damage(times)
    assert set(np.flatnonzero(~trusted(times, StatedLengths())).tolist()) == wrong


@pytest.mark.parametrize("damage", [in_order, one_far, one_back, group_far])
def test_wrong_times_are_no_further_recording(damage: Callable[[np.ndarray], None]) -> None:
    times = np.arange(200) / 25
    damage(times)
    assert recordings(times) == 1
    assert recordings(np.concatenate([times, times, times])) == 3


@pytest.mark.parametrize("order", ["short first", "long first"])
def test_transport_streams_joined_byte_by_byte_are_told(tmp_path: Path, order: str) -> None:
    parts = [
        move_last(make_video(tmp_path / f"{count}.mkv", even_times(count, 25)), tmp_path / f"{count}.ts", 0.0)
        for count in (100, 200)
    ]
    joined = tmp_path / "joined.ts"
    in_turn = parts if order == "short first" else parts[::-1]
    joined.write_bytes(b"".join(part.read_bytes() for part in in_turn))
    _, facts = read(joined)
    assert facts.picture_s == pytest.approx(8, abs=0.1)
    assert "holds 2 recordings one after the other" in str(facts.damage)
    assert "only 8.0 s are searched" in str(facts.damage)


def test_two_statements_outvote_the_time_stamps() -> None:
    times = np.arange(100) / 5  # 20 s, which two headers say are 4
    assert trusted(times, StatedLengths(4.0, 4.0)).sum() == 22
    assert trusted(times, StatedLengths(4.0, 20.0)).all()  # one header alone does not
    assert trusted(np.arange(100) * 5.0, StatedLengths(4.0, 500.0)).sum() == 1  # unless the rate is none of a video


def test_windows_are_bounded_by_pictures() -> None:
    starts = np.arange(1000) * 1e6
    assert len(windows_of(starts, 1e9, WindowSpec())) == 1000
    assert stretches(np.array([3.0]), 3.04, 8.0) == [(3.0, 3.04)]


def test_a_file_of_which_no_picture_is_whole_fails(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", even_times(60, 25), key_every=1000)
    data = bytearray(path.read_bytes())
    start = data.index(b"\x1f\x43\xb6\x75") + 30
    for place in range(start, len(data) - 20, 25):
        data[place : place + 12] = bytes(12)
    path.write_bytes(data)
    with pytest.raises(VideoError) as caught:
        read(path)
    assert caught.value.kind in ("corrupt", "no-frames")
