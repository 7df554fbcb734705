"""What a file states of its pictures cannot take the memory, and protected pictures are not decoded."""

from __future__ import annotations

import os
import signal
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_samples import even_times, make_video, number_in

from vidsearch.errors import ModelError, VideoError
from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.ebml import has_encrypted_video
from vidsearch.video.picture import MOST_PIXELS, scaled_size
from vidsearch.video.pool import DecodeEvent, DecodeFailed, DecodeLimits, DecodePool, VideoDone, WindowDecoded
from vidsearch.video.reader import open_reader

SPEC = FrameSpec(32)


def as_file(path: Path) -> VideoFile:
    status = path.stat()
    return VideoFile(path, status.st_size, status.st_mtime_ns)


def decoded(path: Path, limits: DecodeLimits | None = None) -> Iterator[DecodeEvent]:
    with DecodePool(1, SPEC, WindowSpec(), limits=limits) as pool:
        yield from pool.decode([as_file(path)])


def refusal(path: Path) -> VideoError:
    with pytest.raises(VideoError) as caught, open_reader(path, SPEC):
        pass
    assert str(path) in str(caught.value)
    return caught.value


def black_pictures(path: Path, side_px: int) -> Path:
    """Two black PNG pictures: of any size, the file is small."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=1)
        stream.width = stream.height = side_px
        stream.pix_fmt, stream.time_base = "gray", Fraction(1, 25)
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((side_px, side_px), np.uint8), format="gray")
            frame.pts, frame.time_base = 25 * number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def with_box(data: bytes, added: bytes, entry: bytes) -> bytes:
    """`added` at the end of the sample entry, now named `entry`; the boxes around it grow."""
    start = data.index(b"avc1", data.index(b"stsd")) - 4
    end = start + struct.unpack_from(">I", data, start)[0]
    changed = bytearray(data[:end] + added + data[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(name, data.index(b"moov")) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", data, place)[0] + len(added))
    changed[start + 4 : start + 8] = entry
    return bytes(changed)


@pytest.mark.parametrize(
    ("width", "height", "fit"),
    [
        (320.0 * 2000, 240.0, "as-is"),
        (65_535.0, 65_535.0, "as-is"),
        (1.0, 60_000.0, "centre-crop"),
        (9e9, 1.0, "as-is"),
    ],
)
def test_no_statement_makes_a_huge_picture(width: float, height: float, fit: str) -> None:
    wide, high = scaled_size(width, height, FrameSpec(256, fit))  # type: ignore[arg-type]
    assert 1 <= wide * high <= max(MOST_PIXELS * 1.01, 16 * 256 * 256)


def test_8k_is_kept_as_it_is() -> None:
    assert scaled_size(7680, 4320, FrameSpec(0, "as-is")) == (7680, 4320)


def test_a_pixel_that_no_camera_has_counts_as_square(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", even_times(60, 25))
    path.write_bytes(with_box(path.read_bytes(), box(b"pasp", struct.pack(">II", 2000, 1)), b"avc1"))
    with open_reader(path, FrameSpec(0, "as-is")) as reader:
        (picture,) = reader.frames_at([1.0])
    assert picture.shape == (64, 64, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit of address space that holds")
def test_a_worker_has_a_memory_limit(tmp_path: Path) -> None:
    path = black_pictures(tmp_path / "black.mov", 6000)
    (failed,) = decoded(path, DecodeLimits(memory_bytes=30_000_000))
    assert isinstance(failed, DecodeFailed)
    assert failed.error.kind == "memory"
    assert "needs more memory than a decoder may take; allow more with --decoder-memory" in str(failed.error)
    assert isinstance(list(decoded(path))[-1], VideoDone)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no limit of address space that holds")
def test_an_absurd_size_of_a_packet_is_damage_where_there_is_memory_for_any(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", even_times(60, 25))
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(b"stsz") + 16 + 4 * 30, 1 << 29)  # of packet 30: to FFmpeg below zero
    path.write_bytes(data)
    little = DecodeLimits(memory_bytes=500_000_000)
    (*_, done) = decoded(path, little)
    assert isinstance(done, VideoDone)
    assert "ends too early: 1.2 s of it could be read" in (done.facts.damage or "")
    os.truncate(path, 4 << 30)  # with a hole behind the video: such a file may have large packets
    (*_, done) = decoded(path)
    assert isinstance(done, VideoDone)
    (failed,) = decoded(path, little)
    assert isinstance(failed, DecodeFailed)
    assert failed.error.kind == "memory"


def test_more_pixels_than_any_camera_has_are_refused(tmp_path: Path) -> None:
    path = black_pictures(tmp_path / "black.mov", 100)
    data = path.read_bytes().replace(struct.pack(">II", 100, 100), struct.pack(">II", 32_000, 32_000))
    path.write_bytes(data.replace(struct.pack(">HH", 100, 100), struct.pack(">HH", 32_000, 32_000)))
    events = list(decoded(path))
    assert isinstance(events[-1], DecodeFailed)
    assert events[-1].error.kind in ("memory", "corrupt")


@pytest.mark.parametrize("side_px", [-1, 0, 1_000_000])
def test_a_wrong_model_is_told_before_any_video_fails(side_px: int) -> None:
    with pytest.raises(ModelError, match=rf"pictures of {side_px} px; its config\.json is damaged"):
        DecodePool(1, FrameSpec(side_px), WindowSpec())


@pytest.mark.parametrize(("entry", "scheme"), [(b"encv", b"cenc"), (b"encv", b"cbcs"), (b"drmi", b"itun")])
def test_protected_tracks_of_an_mp4_are_told_before_decoding(tmp_path: Path, entry: bytes, scheme: bytes) -> None:
    """The sample entry as encryption leaves it: another name, and `sinf` with the first one and the scheme inside."""
    path = make_video(tmp_path / "a.mp4", even_times(60, 25))
    protection = box(b"sinf", box(b"frma", b"avc1") + box(b"schm", bytes(4) + scheme + bytes(4)))
    path.write_bytes(with_box(path.read_bytes(), protection, entry))
    assert refusal(path).kind == "encrypted"


def element(identifier: int, content: bytes) -> bytes:
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big") + bytes([0x80 | len(content)]) + content


@pytest.mark.parametrize(("kind", "found"), [(1, True), (2, False)], ids=["video", "sound"])
def test_encryption_of_a_matroska_track_is_seen(tmp_path: Path, kind: int, found: bool) -> None:
    encodings = element(0x6D80, element(0x6240, element(0x5033, b"\x01") + element(0x5035, element(0x47E1, b"\x05"))))
    track = element(0xAE, element(0xD7, b"\x01") + element(0x83, bytes([kind])) + encodings)
    content = element(0x114D9B74, b"\xec\x80") + element(0x1654AE6B, track)
    segment = b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + content
    path = tmp_path / "a.mkv"
    path.write_bytes(element(0x1A45DFA3, element(0x4282, b"matroska")) + segment)
    assert has_encrypted_video(path) is found
    path.write_bytes(path.read_bytes()[:60])
    assert has_encrypted_video(path) is False
    sizes = b"\x01" + b"\xff" * 6 + b"\xfe"  # as large as a size can be, twice: beyond what a file can seek to
    path.write_bytes(element(0x1A45DFA3, element(0x4282, b"matroska")) + (b"\xec" + sizes) * 200)
    assert has_encrypted_video(path) is False


def test_a_matroska_file_with_encrypted_video_is_refused(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", even_times(60, 25))
    data = path.read_bytes()
    place = data.index(b"\xae", data.index(b"\x16\x54\xae\x6b"))
    assert not has_encrypted_video(path)
    type_place = data.index(b"\x83\x81\x01", place)  # TrackType: video
    encodings = element(0x6D80, element(0x6240, element(0x5035, element(0x47E1, b"\x05"))))
    path.write_bytes(_grown(data, type_place, encodings))
    assert refusal(path).kind == "encrypted"


def _grown(data: bytes, place: int, added: bytes) -> bytes:
    """`added` before `place` in the track; the sizes of the track, the tracks and the segment grow."""
    changed = bytearray(data[:place] + added + data[place:])
    for identifier in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae"):
        start = data.index(identifier, 0 if identifier[0] == 0x18 else data.index(b"\x18\x53\x80\x67"))
        start = data.index(identifier, data.index(b"\x16\x54\xae\x6b")) if identifier == b"\xae" else start
        field = start + len(identifier)
        length = 9 - data[field].bit_length()
        value = int.from_bytes(data[field : field + length], "big") + len(added)
        changed[field : field + length] = value.to_bytes(length, "big")
    return bytes(changed)


def test_a_stream_that_begins_in_the_middle_does_not_stop_the_others(tmp_path: Path) -> None:
    """Two transport streams behind each other: the second one's packets are of no stream that the first announced."""
    one = make_video(tmp_path / "one.ts", even_times(50, 25))
    other = make_video(tmp_path / "two.ts", even_times(50, 25), container_options={"mpegts_start_pid": "0x700"})
    path = tmp_path / "both.ts"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    with open_reader(path, SPEC) as reader:
        assert [number_in(picture) for picture in reader.frames_at([reader.facts.start_s + 1.0])] == [25]


def test_a_demuxers_refusal_is_damage_and_not_a_matter_of_permissions(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.wmv", even_times(50, 25), codec="wmv2", own_rate=True)
    video = bytes.fromhex("c0ef19bc4d5bcf11")  # how ASF names the kind of a stream: FFmpeg "may not" open another
    path.write_bytes(path.read_bytes().replace(video, b"\xff" + video[1:]))
    assert refusal(path).kind == "corrupt"


def test_a_name_cannot_command_the_terminal_through_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_video(tmp_path / "a\x1b]0;owned\x07b.mp4", even_times(1500, 25))
    with DecodePool(1, SPEC, WindowSpec(0.4, 0.1, 8), buffered_events=1) as pool:
        for event in pool.decode([as_file(path)]):
            if isinstance(event, WindowDecoded):
                os.kill(pool.worker_pids[0], signal.SIGKILL)
                break
        list(pool.decode([as_file(path)]))
    assert "\x1b" not in caplog.text
