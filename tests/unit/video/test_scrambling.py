"""Scrambled transport and program streams are told from their packets, before anything is decoded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from video_samples import even_times, make_video

from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec
from vidsearch.video.reader import open_reader
from vidsearch.video.scrambling import names_access_system, scrambling

VIDEO_PID, TABLE_PID = 0x100, 0x1000  # FFmpeg's
PACKET = 188


@pytest.fixture(scope="module")
def clear(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_video(tmp_path_factory.mktemp("ts") / "a.ts", even_times(150, 25), b_frames=2).read_bytes()


@pytest.fixture(scope="module")
def dvd(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ps") / "a.vob"
    return make_video(path, even_times(900, 25), codec="mpeg2video", own_rate=True).read_bytes()


def packets(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, start of the payload, PID) of each transport packet."""
    for start in range(0, len(data), PACKET):
        adaptation = 1 + data[start + 4] if data[start + 3] & 0x20 else 0
        yield start, start + 4 + adaptation, int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF


def scrambled(data: bytes, *, control: int = 0b10, part: float = 1.0, pid: int = VIDEO_PID) -> bytes:
    """What conditional access does: other bits in a packet's header, noise in its payload."""
    chance = random.Random(1)
    changed = bytearray(data)
    for start, payload, found in packets(data):
        if found == pid and chance.random() < part:
            changed[start + 3] = changed[start + 3] & 0x3F | control << 6
            changed[payload : start + PACKET] = chance.randbytes(max(0, start + PACKET - payload))
    return bytes(changed)


def refusal(path: Path) -> VideoError:
    with pytest.raises(VideoError) as caught, open_reader(path, FrameSpec(32)):
        pass
    return caught.value


@pytest.mark.parametrize("control", [0b01, 0b10, 0b11])
def test_a_scrambled_transport_stream_is_encrypted(tmp_path: Path, clear: bytes, control: int) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(scrambled(clear, control=control))
    error = refusal(path)
    assert error.kind == "encrypted"
    assert f"{path} is encrypted" in str(error)


@pytest.mark.parametrize("step", [192, 204])
def test_packets_with_time_codes_or_error_correction(tmp_path: Path, clear: bytes, step: int) -> None:
    path = tmp_path / "a.m2ts"
    for data, expected in ((clear, False), (scrambled(clear), True)):
        before, after = (bytes(4), b"") if step == 192 else (b"", bytes(16))
        pieces = (before + data[start : start + PACKET] + after for start in range(0, len(data), PACKET))
        path.write_bytes(b"".join(pieces))
        assert scrambling(path).whole is expected


def test_a_stream_that_begins_in_the_middle_of_a_packet(tmp_path: Path, clear: bytes) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(scrambled(clear)[1000:])
    assert scrambling(path).whole is True
    path.write_bytes(clear[1000:])
    assert scrambling(path).whole is False


def test_scrambled_packets_of_a_stream(tmp_path: Path, clear: bytes) -> None:
    """The same at the level of the elementary stream: its own packets' headers say so."""
    changed = bytearray(clear)
    for _, payload, pid in packets(clear):
        if pid == VIDEO_PID and clear[payload : payload + 3] == b"\0\0\x01":
            changed[payload + 6] |= 0b10 << 4
    path = tmp_path / "a.ts"
    path.write_bytes(changed)
    starts = sum(clear[payload : payload + 3] == b"\0\0\x01" for _, payload, pid in packets(clear) if pid == VIDEO_PID)
    assert starts == 150
    assert scrambling(path).whole is True


def test_scrambled_sound_refuses_nothing_and_scrambled_parts_are_told(tmp_path: Path, clear: bytes) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(scrambled(clear, pid=0x11))
    assert scrambling(path).part == 0.0
    path.write_bytes(scrambled(clear, part=0.1))
    with open_reader(path, FrameSpec(32)) as reader:
        list(reader.frames_at([1.0]))
        assert "a.ts is encrypted or damaged in parts: some pictures of its " in str(reader.facts.damage)


def test_a_descrambled_recording_keeps_its_descriptor_and_is_read(tmp_path: Path, clear: bytes) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(with_access_descriptor(clear))
    assert names_access_system(path) and scrambling(path).part == 0.0
    with open_reader(path, FrameSpec(32)) as reader:
        assert len(list(reader.frames_at([1.0]))) == 1


def test_noise_of_which_only_the_descriptor_tells_is_encrypted(tmp_path: Path, clear: bytes) -> None:
    """A recorder may have cleared the bits."""
    path = tmp_path / "a.ts"
    path.write_bytes(scrambled(with_access_descriptor(clear), control=0))
    assert scrambling(path).part == 0.0
    assert refusal(path).kind == "encrypted"


def with_access_descriptor(data: bytes) -> bytes:
    """A CA_descriptor among those of the program, and a CRC that fits."""
    changed = bytearray(data)
    for _, payload, pid in packets(data):
        if pid != TABLE_PID:
            continue
        section = payload + 1
        length = int.from_bytes(data[section + 1 : section + 3], "big") & 0xFFF
        content = bytearray(data[section : section + 3 + length - 4])
        content[12:12] = bytes((9, 4, 0x05, 0x00, 0xE1, 0x23))
        content[10:12] = (0xF000 | int.from_bytes(content[10:12], "big") + 6).to_bytes(2, "big")
        content[1:3] = (0xB000 | length + 6).to_bytes(2, "big")
        content += crc32_mpeg(bytes(content)).to_bytes(4, "big")
        changed[section : section + len(content)] = content
    return bytes(changed)


def crc32_mpeg(content: bytes) -> int:
    """ISO/IEC 13818-1, annex A."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ 0x04C11DB7 if register & 0x80000000 else register << 1) & 0xFFFFFFFF
    return register


def test_a_scrambled_dvd_is_encrypted(tmp_path: Path, dvd: bytes) -> None:
    """Some sectors of 2048 bytes are scrambled; their packets' headers say so."""
    path = tmp_path / "a.vob"
    path.write_bytes(dvd)
    assert scrambling(path).whole is False
    changed = bytearray(dvd)
    place, number = dvd.find(b"\0\0\x01\xe0"), 0
    while place >= 0:
        if number % 3 == 0:
            changed[place + 6] |= 0b01 << 4
        place, number = dvd.find(b"\0\0\x01\xe0", place + 1), number + 1
    assert number > 10
    path.write_bytes(changed)
    assert refusal(path).kind == "encrypted"


def test_protected_units_of_a_blu_ray_are_encrypted(tmp_path: Path, clear: bytes) -> None:
    pieces = (bytes(4) + clear[start : start + PACKET] for start in range(0, len(clear), PACKET))
    data = bytearray(b"".join(pieces))
    chance = random.Random(1)
    for start in range(0, len(data) - 6144, 6144):
        data[start] |= 0xC0
        data[start + 16 : start + 6144] = chance.randbytes(6128)
    path = tmp_path / "a.m2ts"
    path.write_bytes(data)
    assert refusal(path).kind == "encrypted"


def test_a_file_of_sync_bytes_alone_is_no_scrambled_video(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    for data in (b"\x47" * 5000, b"", b"\x47", b"\x47" + bytes(187), b"\0\0\x01\xba"):
        path.write_bytes(data)
        assert scrambling(path).whole is False
        assert names_access_system(path) is False
