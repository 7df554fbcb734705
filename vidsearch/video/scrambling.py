"""How much of the video of an MPEG-2 transport or program stream is scrambled, told from its packets (ISO/IEC 13818-1).

Conditional access leaves the headers of packets in the clear and marks what it scrambles:
`transport_scrambling_control` in transport packets (2.4.3.2), `PES_scrambling_control` in the packets of a stream
(2.4.3.6), which is also what the content scrambling of DVDs sets. A descriptor of an access system (2.6.16) alone does
not refuse a file: descrambled recordings keep it. Only samples of a file are read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC

_SAMPLES, _SAMPLE_BYTES = 8, 192 * 256
_PACKET_BYTES = 188
_PAT_PID, _NO_PID = 0, 0x1FFF
_PAT_TABLE, _PMT_TABLE, _CA_DESCRIPTOR = 0, 2, 9
# stream_type of video (2.4.4.9): MPEG-1, MPEG-2, MPEG-4, H.264 and its extensions, JPEG 2000, HEVC, VVC, AVS, VC-1
_VIDEO_TYPES = frozenset({0x01, 0x02, 0x10, 0x1B, 0x1E, 0x1F, 0x20, 0x21, 0x24, 0x25, 0x33, 0x42, 0xD1, 0xD2, 0xEA})
_VIDEO_PES = re.compile(rb"\x00\x00\x01[\xe0-\xef]..([\x80-\xbf])", re.DOTALL)
_PACK_START = b"\x00\x00\x01\xba"
# Of the video packets of a file that is refused. A DVD leaves more than half of its sectors in the clear.
_MOST_OF_TRANSPORT, _MOST_OF_PROGRAM = 1 / 2, 1 / 8
_BLU_RAY_UNIT_BYTES = 6144  # 32 packets with their time codes


@dataclass(slots=True)
class _Counts:
    """Of the packets of one stream that carry something."""

    all: int = 0
    scrambled: int = 0

    def add(self, scrambled: bool) -> None:
        self.all += 1
        self.scrambled += scrambled


@dataclass(slots=True)
class _Tables:
    """The program tables as their sections come in: which streams are video, and whether one has an access system."""

    access_system: bool = False
    pmt_pids: set[int] = field(default_factory=set)
    video_pids: set[int] = field(default_factory=set)
    _sections: dict[int, bytearray] = field(default_factory=dict)

    def take(self, pid: int, payload: bytes, *, starts: bool) -> None:
        """A packet's part of a section. Damaged ones say nothing."""
        if pid != _PAT_PID and pid not in self.pmt_pids:
            return
        if starts:
            self._sections[pid] = bytearray(payload[1 + payload[0] :] if payload else b"")
        elif pid in self._sections:
            self._sections[pid] += payload
        section = bytes(self._sections.get(pid, b""))
        length = 3 + _length(section, 1) if len(section) >= 3 else 0
        if 0 < length <= len(section):
            del self._sections[pid]
            self._read(pid, section[: length - 4])  # without its CRC

    def _read(self, pid: int, section: bytes) -> None:
        if pid == _PAT_PID and section[0] == _PAT_TABLE:
            programs = (section[place : place + 4] for place in range(8, len(section) - 3, 4))
            self.pmt_pids |= {_pid(program[2:]) for program in programs if program[:2] != b"\0\0"}
        elif pid != _PAT_PID and section[0] == _PMT_TABLE and len(section) >= 12:
            place = 12 + _length(section, 10)
            self.access_system |= _names_access_system(section[12:place])
            while place + 5 <= len(section):
                end = place + 5 + _length(section, place + 3)
                if section[place] in _VIDEO_TYPES:
                    self.video_pids.add(_pid(section[place + 1 :]))
                    self.access_system |= _names_access_system(section[place + 5 : end])
                place = end


@dataclass(frozen=True, slots=True)
class Scrambling:
    """`part`: of the video packets, 0 to 1; `whole`: too much of them for the file to be read."""

    part: float
    whole: bool


_NONE = Scrambling(0.0, False)


def scrambling(path: Path) -> Scrambling:
    """Of the video of one file; none for a file that is neither kind of stream."""
    with path.open("rb") as file:
        head = file.read(4 * max(TS_PACKET_BYTES))
        size = path.stat().st_size
        if head.startswith(_PACK_START):
            return _of_program_stream(file, size)
        if (step := _packet_bytes(head)) is not None:
            return _of_transport_stream(file, size, step)
        return Scrambling(1.0, True) if _is_protected_blu_ray(file) else _NONE


def names_access_system(path: Path) -> bool:
    """Whether a transport stream says that it, or its video, is given by conditional access."""
    with path.open("rb") as file:
        step = _packet_bytes(file.read(4 * max(TS_PACKET_BYTES)))
        return step is not None and _read(file, path.stat().st_size, step)[1].access_system


def _read(file: BinaryIO, size: int, step: int) -> tuple[dict[int, _Counts], _Tables]:
    """The packets of each stream (by PID) that carry something, and what the tables say."""
    counts: dict[int, _Counts] = {}
    tables = _Tables()
    for sample in _samples(file, size):
        for packet in _packets(sample, step):
            if payload := _payload(packet):
                pid = _pid(packet[1:])
                tables.take(pid, payload, starts=bool(packet[1] & 0x40))
                scrambled = bool(packet[3] & 0xC0) or _is_scrambled_pes(payload)
                counts.setdefault(pid, _Counts()).add(scrambled)
    counts.pop(_NO_PID, None)
    return counts, tables


def _of_transport_stream(file: BinaryIO, size: int, step: int) -> Scrambling:
    """Of the video stream that is scrambled least: another one may be in the clear."""
    counts, tables = _read(file, size, step)
    video = [counts[pid] for pid in tables.video_pids if pid in counts]
    if not video and counts:  # a file that begins and ends between two tables: video is the larger part of any
        video = [max(counts.values(), key=lambda count: count.all)]
    part = min((count.scrambled / count.all for count in video), default=0.0)
    return Scrambling(part, part > _MOST_OF_TRANSPORT)


def _is_scrambled_pes(payload: bytes) -> bool:
    found = _VIDEO_PES.match(payload)
    return found is not None and bool(found[1][0] & 0x30)


def _of_program_stream(file: BinaryIO, size: int) -> Scrambling:
    flags: Counter[bool] = Counter()
    for sample in _samples(file, size):
        flags.update(bool(found[1][0] & 0x30) for found in _VIDEO_PES.finditer(sample))
    part = flags[True] / flags.total() if flags else 0.0
    return Scrambling(part, part > _MOST_OF_PROGRAM)


def _is_protected_blu_ray(file: BinaryIO) -> bool:
    """Whether units of 32 packets have only their first 16 bytes in the clear, and say so (AACS)."""
    file.seek(0)
    units = [file.read(_BLU_RAY_UNIT_BYTES) for _ in range(8)]
    whole = [unit for unit in units if len(unit) == _BLU_RAY_UNIT_BYTES]
    return bool(whole) and all(unit[0] & 0xC0 and unit[4] == TS_SYNC for unit in whole) and len(whole) > 1


def _samples(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The whole of a small file, and pieces of a large one that are spread over it."""
    if size <= _SAMPLES * _SAMPLE_BYTES:
        file.seek(0)
        yield file.read(size)
        return
    for number in range(_SAMPLES):
        file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
        yield file.read(_SAMPLE_BYTES)


def _packets(sample: bytes, step: int) -> Iterator[bytes]:
    """The transport packets in a piece that begins anywhere; what is between two sound ones is left out."""
    place = 0
    while place + _PACKET_BYTES <= len(sample):
        following = sample[place + step : place + step + 1]
        if sample[place] == TS_SYNC and following in (b"", bytes([TS_SYNC])):
            yield sample[place : place + _PACKET_BYTES]
            place += step
        else:
            place = sample.find(TS_SYNC, place + 1)
            if place < 0:
                return


def _packet_bytes(head: bytes) -> int | None:
    """The distance of sync bytes from some place in the first packet on; None if there is none."""
    for step in TS_PACKET_BYTES:
        for start in range(min(step, len(head))):
            if (marks := head[start::step]).count(TS_SYNC) == len(marks) > 2:
                return step
    return None


def _payload(packet: bytes) -> bytes:
    """What a packet carries beside its header and adaptation field (section 2.4.3.3)."""
    control = packet[3] >> 4 & 3
    start = 5 + packet[4] if control & 2 else 4
    return packet[start:] if control & 1 else b""


def _names_access_system(descriptors: bytes) -> bool:
    """Whether one of them is a CA_descriptor (tag 9)."""
    place = 0
    while place + 2 <= len(descriptors):
        if descriptors[place] == _CA_DESCRIPTOR:
            return True
        place += 2 + descriptors[place + 1]
    return False


def _length(section: bytes, place: int) -> int:
    """A length of 12 bits."""
    return int.from_bytes(section[place : place + 2], "big") & 0xFFF


def _pid(field: bytes) -> int:
    return int.from_bytes(field[:2], "big") & 0x1FFF
