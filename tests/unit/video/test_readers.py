"""The frame a player shows at a time, by both readers, on files whose pictures show their own number."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from video_samples import (
    SIDE_PX,
    cut_without_coding,
    even_times,
    make_video,
    number_in,
    numbered_picture,
    set_display_matrix,
    turn_upright,
)

from vidsearch.errors import VideoError
from vidsearch.extras import installed
from vidsearch.records import FrameSpec, ReaderName, WindowSpec
from vidsearch.video.doubts import doubts
from vidsearch.video.header import probe
from vidsearch.video.pyav_reader import PyavReader
from vidsearch.video.reader import open_reader, read_windows

SPEC = FrameSpec(32)
EVEN = even_times(100, 25)
BURSTS = [*even_times(60, 50), *even_times(20, 4, start_s=1.2)]


@dataclass(frozen=True)
class Sample:
    """How a file is made, the times its pictures then have (None: seen in the file), and who must read it if it can."""

    make: Callable[[Path], Path]
    times: list[float] | None
    reader: ReaderName


def cut_of(folder: Path) -> Path:
    return cut_without_coding(make_video(folder / "whole.mp4", EVEN, b_frames=3), folder / "cut.mp4", 1.5)


SAMPLES = {
    "mp4": Sample(lambda folder: make_video(folder / "a.mp4", EVEN, b_frames=3), EVEN, "decord"),
    "mkv": Sample(lambda folder: make_video(folder / "a.mkv", EVEN, b_frames=3), EVEN, "decord"),
    "webm": Sample(lambda folder: make_video(folder / "a.webm", EVEN, codec="libvpx"), EVEN, "decord"),
    "one key frame": Sample(lambda folder: make_video(folder / "a.mp4", EVEN, key_every=1000), EVEN, "decord"),
    "variable rate": Sample(lambda folder: make_video(folder / "a.mp4", BURSTS, b_frames=2), BURSTS, "decord"),
    "starts at 10 s": Sample(
        lambda folder: make_video(folder / "a.mkv", even_times(100, 25, 10.0), b_frames=2),
        even_times(100, 25, 10.0),
        "decord",
    ),
    "open groups": Sample(
        lambda folder: make_video(folder / "a.mp4", EVEN, b_frames=3, codec_options={"x264-params": "open-gop=1"}),
        EVEN,
        "pyav",
    ),
    "transport stream": Sample(lambda folder: make_video(folder / "a.ts", EVEN, b_frames=2), None, "pyav"),
    "program stream": Sample(
        lambda folder: make_video(folder / "a.mpg", EVEN, codec="mpeg2video", b_frames=2, own_rate=True), None, "pyav"
    ),
    "AVI": Sample(
        lambda folder: make_video(folder / "a.avi", EVEN, codec="mpeg4", b_frames=2, own_rate=True), None, "pyav"
    ),
    "flash": Sample(lambda folder: make_video(folder / "a.flv", EVEN, b_frames=2), None, "pyav"),
    "fragmented": Sample(
        lambda folder: make_video(
            folder / "a.mp4", EVEN, container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        ),
        EVEN,
        "pyav",
    ),
    "short": Sample(lambda folder: make_video(folder / "a.mp4", even_times(9, 25)), even_times(9, 25), "pyav"),
    "one picture": Sample(lambda folder: make_video(folder / "a.mp4", [0.0]), [0.0], "pyav"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_each_time_gives_the_last_picture_that_began(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    with open_reader(sample.make(tmp_path), SPEC) as reader:
        facts = reader.facts
        assert facts.reader == (sample.reader if installed("decord") else "pyav")
        times = sample.times or even_times(facts.frames, 25, facts.start_s)
        assert (facts.frames, facts.start_s) == (len(times), pytest.approx(times[0], abs=1e-3))
        step = (times[-1] - times[0]) / 40  # by the file, not by what a reader guesses of its end
        wanted = [times[0] + 1e-4 + step * number for number in range(40)] + [facts.start_s + facts.picture_s + 5]
        shown = [number_in(picture) for picture in reader.frames_at(wanted)]
    # times of containers are rounded to their ticks, a millisecond at most
    assert shown == [max(bisect_right(times, time + 5e-4) - 1, 0) for time in wanted]


@pytest.mark.needs_decord
@pytest.mark.parametrize("name", ["mp4", "mkv", "variable rate", "starts at 10 s"])
def test_both_readers_agree_on_what_decord_may_read(tmp_path: Path, name: str) -> None:
    path = SAMPLES[name].make(tmp_path)
    with open_reader(path, SPEC) as first, PyavReader(path, probe(path), SPEC) as second:
        assert (first.facts.reader, second.facts.reader) == ("decord", "pyav")
        times = [first.facts.start_s + first.facts.picture_s * part / 20 for part in range(20)]
        for one, other in zip(first.frames_at(times), second.frames_at(times), strict=True):
            assert np.abs(one.astype(int) - other).mean() < 1.5  # of 255: rounding of two builds of swscale
        assert second.facts.start_s == pytest.approx(first.facts.start_s, abs=1e-6)
        # how long the last picture stays is a guess at variable rate: one frame at 25 a second
        assert second.facts.picture_s == pytest.approx(first.facts.picture_s, abs=0.04)


def test_packets_that_an_edit_list_hides_are_not_shown(tmp_path: Path) -> None:
    path = cut_of(tmp_path)
    assert [doubt.name for doubt in doubts(probe(path))] == ["hidden packets"]
    with open_reader(path, SPEC) as reader:
        assert reader.facts.start_s == pytest.approx(0.0, abs=0.05)
        shown = [number_in(picture) for picture in reader.frames_at([0.0, 1.0, 2.0])]
    assert [number - shown[0] for number in shown] == [0, 25, 50]
    assert shown[0] in (37, 38)  # 1.5 s at 25 pictures a second


def test_pictures_that_are_counted_and_not_there_take_no_memory(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", EVEN)
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(b"stts") + 12, 1 << 30)
    path.write_bytes(data)
    assert [doubt.name for doubt in doubts(probe(path))] == ["count"]
    with open_reader(path, SPEC) as reader:
        assert [number_in(picture) for picture in reader.frames_at(EVEN)] == list(range(len(EVEN)))


def test_a_stored_picture_is_turned_upright(tmp_path: Path) -> None:
    path = make_video(tmp_path / "phone.mp4", EVEN)
    turn_upright(path)
    for reader in (open_reader(path, SPEC), PyavReader(path, probe(path), SPEC)):
        with reader:
            (picture,) = reader.frames_at([1.0])
            assert reader.facts.rotation_deg == 90
            assert number_in(np.rot90(picture)) == 25  # turned back against the clock


def test_an_animated_png_is_a_video_as_a_gif_is(tmp_path: Path) -> None:
    path = tmp_path / "animated.png"
    with av.open(str(path), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE_PX, SIDE_PX, "rgb24"
        for number in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(stream.encode(None))
    with open_reader(path, SPEC) as reader:
        assert reader.facts.picture_s == pytest.approx(2.0)
        assert [number_in(picture) for picture in reader.frames_at([0.0, 0.5, 1.9])] == [0, 12, 47]


SHOWN_AS: dict[str, tuple[tuple[float, float, float, float], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    "mirrored": ((-1, 0, 0, 1), lambda stored: stored[:, ::-1]),
    "upside down and mirrored": ((1, 0, 0, -1), lambda stored: stored[::-1]),
    "transposed": ((0, 1, 1, 0), lambda stored: stored.swapaxes(0, 1)),
    "transposed and upside down": ((0, -1, -1, 0), lambda stored: np.rot90(stored, 2).swapaxes(0, 1)),
    "upside down": ((-1, 0, 0, -1), lambda stored: np.rot90(stored, 2)),
    "turned by 37 degrees": ((0.8, 0.6, -0.6, 0.8), lambda stored: stored),
}


@pytest.mark.parametrize("name", SHOWN_AS)
def test_a_stored_picture_is_shown_as_the_display_matrix_says(tmp_path: Path, name: str) -> None:
    matrix, shown = SHOWN_AS[name]
    path = make_video(tmp_path / "phone.mp4", EVEN, width_px=2 * SIDE_PX)
    with open_reader(path, FrameSpec(SIDE_PX, "as-is")) as reader:
        (stored,) = reader.frames_at([1.0])
    set_display_matrix(path, *matrix)
    for reader in (
        open_reader(path, FrameSpec(SIDE_PX, "as-is")),
        PyavReader(path, probe(path), FrameSpec(64, "as-is")),
    ):
        with reader:
            (picture,) = reader.frames_at([1.0])
        assert picture.shape == shown(stored).shape
        assert np.abs(picture.astype(int) - shown(stored)).mean() < 2


def test_centre_crop_keeps_the_aspect_ratio_and_shows_the_middle(tmp_path: Path) -> None:
    path = make_video(tmp_path / "wide.mp4", EVEN, width_px=2 * SIDE_PX)
    spec = FrameSpec(32, "centre-crop")
    for reader in (open_reader(path, spec), PyavReader(path, probe(path), spec)):
        with reader:
            (picture,) = reader.frames_at([3.0])
        # of 4 columns of cells the middle two, each twice as wide as in the square
        seen = picture.mean(axis=2)[4::8, 8::16] > 125
        assert seen.tolist() == (numbered_picture(75).mean(axis=2)[8::16, 24:56:16] > 125).tolist()


def test_windows_hold_their_frames_and_decode_each_time_once(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", even_times(500, 25), b_frames=2)
    asked: list[float] = []
    with open_reader(path, SPEC) as reader:
        original = reader.pictures_at

        def counted(times: list[float]) -> object:
            asked.extend(times)
            return original(times)

        reader.pictures_at = counted  # type: ignore[method-assign, assignment]  # counts, then does the real thing
        clips = list(read_windows(reader, WindowSpec()))
    assert [clip.window.start_s for clip in clips] == [0.0, 4.0, 8.0, 12.0]
    assert clips[0].frames.shape == (8, 32, 32, 3)
    for clip in clips:
        assert [number_in(frame) for frame in clip.frames] == [int(time * 25) for time in clip.window.times_s]
    assert len(asked) == len(set(asked)) == 20


@pytest.mark.parametrize(("name", "kept"), [("a.mp4", 0.6), ("a.mkv", 0.6), ("a.ts", 0.6)])
def test_a_file_without_its_end_is_read_as_far_as_it_goes(tmp_path: Path, name: str, kept: float) -> None:
    path = make_video(tmp_path / name, EVEN, container_options={"movflags": "faststart"} if name == "a.mp4" else {})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) | 1])
    with open_reader(path, SPEC) as reader:
        (clip, *_) = read_windows(reader, WindowSpec())
        assert 0.2 < reader.facts.picture_s < 3.9
        assert number_in(clip.frames[0]) < number_in(clip.frames[-1])
        assert "ends too early" in (reader.facts.damage or "")
        assert str(path) in (reader.facts.damage or "")


def test_damage_in_the_middle_is_reported_and_the_rest_is_shown(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", EVEN, key_every=20)
    content = bytearray(path.read_bytes())
    media = content.index(b"mdat")
    middle = media + (content.index(b"moov") - media) // 2
    content[middle : middle + 800] = b"\xa5" * 800  # some pictures' worth: lengths of units and all
    path.write_bytes(content)
    with open_reader(path, SPEC) as reader:
        shown = [number_in(picture) for picture in reader.frames_at([0.1, 1.9, 2.1, 3.7])]
        assert (shown[0], shown[-1]) == (2, 92)
        assert "damaged" in (reader.facts.damage or "")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("empty.mp4", b"", "empty-file"),
        ("page.mp4", b"<html><body>404 Not Found</body></html>", "not-a-video"),
        ("cut.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\0\1\0\0mdat" + bytes(60000), "truncated"),
        ("list.mp4", b"ffconcat version 1.0\nfile secret.mp4\n", "not-a-video"),
        ("list.m3u8.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n", "not-a-video"),
    ],
)
def test_what_is_no_video_says_what_it_is(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError) as caught:
        open_reader(tmp_path / name, SPEC)
    assert caught.value.kind == kind
    assert str(tmp_path / name) in str(caught.value)


def test_a_huge_sparse_file_is_no_video_and_found_out_at_once(tmp_path: Path) -> None:
    with (tmp_path / "huge.mp4").open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(VideoError) as caught:
        open_reader(tmp_path / "huge.mp4", SPEC)
    assert caught.value.kind == "not-a-video"


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path, kind in ((tmp_path, "not-a-file"), (tmp_path / "gone.mp4", "vanished")):
        with pytest.raises(VideoError) as caught:
            open_reader(path, SPEC)
        assert caught.value.kind == kind


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", EVEN).rename(tmp_path / "caf\udce9.mp4")
    with open_reader(path, SPEC) as reader:
        assert reader.facts.reader == "pyav"  # decord takes names in UTF-8 alone
        assert [number_in(picture) for picture in reader.frames_at([2.0])] == [50]


def test_a_bare_stream_is_read_to_its_end_through_a_change_of_its_size(tmp_path: Path) -> None:
    """It has no container and no times: pictures follow each other at the rate that the stream states."""
    one = make_video(tmp_path / "one.h264", even_times(50, 25))
    two = make_video(tmp_path / "two.h264", even_times(50, 25), width_px=3 * SIDE_PX, height_px=2 * SIDE_PX)
    path = tmp_path / "both.h264"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    with open_reader(path, SPEC) as reader:
        shown = [number_in(picture) for picture in reader.frames_at([0.02, 1.02, 2.02, 3.02])]
        assert (reader.facts.frames, reader.facts.picture_s) == (100, pytest.approx(4.0, abs=0.01))
    assert shown == [0, 25, 0, 25]
