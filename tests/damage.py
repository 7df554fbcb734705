"""Good videos → damaged ones, by rule: the same seed gives the same bytes.

    for mutant in mutants([Path("good.mp4")], count=500, folder=tmp_path):
        mutant.path, mutant.source, mutant.rule

Rules: flipped bytes in a box of each kind (MP4, MOV), in the tables of an AVI, before the first cluster of a Matroska
file, and anywhere; truncation; a field of a table overwritten; two tables exchanged; bytes removed or repeated; one or
several time stamps moved (the file is remuxed); packets of a transport stream scrambled.
"""

from __future__ import annotations

import io
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from video_samples import even_times, make_video

from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.pool import DecodeFailed, DecodeLimits, DecodePool, VideoDone, WindowDecoded

Data = bytearray
_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf"}
_TABLES = (b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"stss")
_EXTREME = (0, 1, 2, 0x7F, 0xFF, 0x7FFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Mutant:
    path: Path
    source: Path
    rule: str


@dataclass(frozen=True)
class _Box:
    name: bytes
    start: int  # of the content
    end: int


def mutants(sources: Sequence[Path], count: int, folder: Path, first_seed: int = 0) -> Iterator[Mutant]:
    """`count` damaged files, the sources and rules in turn."""
    for seed in range(first_seed, first_seed + count):
        chance = random.Random(seed)
        source = sources[seed % len(sources)]
        rules = _rules(source)
        name = list(rules)[seed // len(sources) % len(rules)]
        path = folder / f"{seed:04d}-{name}{source.suffix}"
        data = Data(source.read_bytes())
        try:
            path.write_bytes(rules[name](data, chance))
        except NotImplementedError:  # the rule has nothing to damage here
            path.write_bytes(_flip_anywhere(data, chance))
        yield Mutant(path, source, name)


def _rules(source: Path) -> dict[str, Callable[[Data, random.Random], bytes]]:
    """The rules for one container, by name."""
    anywhere = {
        "anywhere": _flip_anywhere,
        "truncated": _truncated,
        "removed": _removed,
        "repeated": _repeated,
        "zeros": _zeros,
        "one-time": lambda data, chance: _moved_times(source, chance, 1),
        "last-time": lambda data, chance: _moved_times(source, chance, 0),
        "some-times": lambda data, chance: _moved_times(source, chance, 5),
    }
    if source.suffix in {".mp4", ".mov"}:
        return {**anywhere, "box": _flip_in_box, "field": _field_in_box, "swapped": _swapped, "table": _flip_in_table}
    if source.suffix == ".ts":
        anywhere |= {"scrambled": _scrambled}
    return {**anywhere, "head": _flip_in_head, "head-field": _field_in_head}


def _flip_anywhere(data: Data, chance: random.Random) -> bytes:
    return _flipped(data, chance, 0, len(data), chance.choice((1, 3, 10, 40)))


def _flip_in_head(data: Data, chance: random.Random) -> bytes:
    """Headers and the first tables of files that have no boxes."""
    return _flipped(data, chance, 0, min(len(data), 700), chance.choice((1, 2, 4)))


def _field_in_head(data: Data, chance: random.Random) -> bytes:
    place = chance.randrange(0, min(len(data), 700) - 4)
    data[place : place + 4] = struct.pack(chance.choice((">I", "<I")), chance.choice(_EXTREME))
    return bytes(data)


def _flip_in_box(data: Data, chance: random.Random) -> bytes:
    boxes = [box for box in _boxes(data) if box.name != b"mdat" and box.end > box.start]
    kind = chance.choice(sorted({box.name for box in boxes}))
    box = chance.choice([box for box in boxes if box.name == kind])
    return _flipped(data, chance, box.start, box.end, chance.choice((1, 2, 4)))


def _flip_in_table(data: Data, chance: random.Random) -> bytes:
    box = _table(data, chance)
    return _flipped(data, chance, box.start + 4, box.end, chance.choice((1, 2, 8)))


def _field_in_box(data: Data, chance: random.Random) -> bytes:
    """A 32-bit field, at its place, gets a value that nobody meant."""
    boxes = [box for box in _boxes(data) if box.name != b"mdat" and box.end >= box.start + 4]
    kind = chance.choice(sorted({box.name for box in boxes}))
    box = chance.choice([box for box in boxes if box.name == kind])
    place = box.start + 4 * chance.randrange((box.end - box.start) // 4)
    data[place : place + 4] = struct.pack(">I", chance.choice((*_EXTREME, chance.randrange(1 << 32))))
    return bytes(data)


def _swapped(data: Data, chance: random.Random) -> bytes:
    """The contents of two tables, as far as the shorter one goes."""
    one, other = _table(data, chance), _table(data, chance)
    size = min(one.end - one.start, other.end - other.start)
    a, b = data[one.start : one.start + size], data[other.start : other.start + size]
    data[one.start : one.start + size], data[other.start : other.start + size] = b, a
    return bytes(data)


def _truncated(data: Data, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(1, len(data))])


def _removed(data: Data, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return bytes(data[:start] + data[start + chance.choice((1, 7, 188, 4096)) :])


def _repeated(data: Data, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return bytes(data[:start] + data[max(0, start - chance.choice((1, 188, 4096))) :])


def _zeros(data: Data, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((4, 512, 8192)))
    data[start:end] = bytes(end - start)
    return bytes(data)


def _scrambled(data: Data, chance: random.Random) -> bytes:
    """Some or all packets of a transport stream say that they are scrambled, and are."""
    part = chance.choice((0.02, 0.3, 1.0))
    for start in range(0, len(data) - 187, 188):
        if chance.random() < part:
            data[start + 3] |= 0xC0
            data[start + 12 : start + 188] = chance.randbytes(176)
    return bytes(data)


def _moved_times(source: Path, chance: random.Random, count: int) -> bytes:
    """Remuxed, with the times of some packets moved by seconds, minutes or hours; `count` 0: the last packet's."""
    target = io.BytesIO()
    with av.open(str(source)) as old, av.open(target, "w", format=_muxer(source)) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        packets = [packet for packet in old.demux(stream) if packet.dts is not None and packet.pts is not None]
        assert stream.time_base is not None
        moved = {len(packets) - 1} if count == 0 else {chance.randrange(len(packets)) for _ in range(count)}
        for number, packet in enumerate(packets):
            if number in moved:
                ticks = round(chance.choice((3.0, 90.0, 10_000.0, 100_000.0)) / stream.time_base)
                packet.pts += ticks
                packet.dts += ticks if count == 0 else 0  # muxers want decoding times to rise
            packet.stream = copy
            try:
                new.mux(packet)
            except (av.FFmpegError, ValueError):
                continue
    return target.getvalue()


def _muxer(source: Path) -> str:
    return {".mkv": "matroska", ".webm": "webm", ".ts": "mpegts"}.get(source.suffix, source.suffix.removeprefix("."))


def _flipped(data: Data, chance: random.Random, start: int, end: int, count: int) -> bytes:
    for _ in range(count):
        data[chance.randrange(start, end)] ^= 1 << chance.randrange(8)
    return bytes(data)


def _table(data: Data, chance: random.Random) -> _Box:
    boxes = [box for box in _boxes(data) if box.name in _TABLES and box.end > box.start + 4]
    if not boxes:
        raise NotImplementedError
    return chance.choice(boxes)


def _boxes(data: Data) -> list[_Box]:
    """All boxes of an MP4 or MOV, from the outer to the inner ones."""
    found: list[_Box] = []
    waiting = [(0, len(data))]
    while waiting:
        place, end = waiting.pop()
        while place + 8 <= end:
            size, name = struct.unpack_from(">I4s", data, place)
            if size < 8 or place + size > end:
                break
            found.append(_Box(name, place + 8, place + size))
            if name in _CONTAINERS:
                waiting.append((place + 8, place + size))
            place += size
    return found


_LIMITS = DecodeLimits(base_s=60, per_video_s=10, per_mib_s=0, silent_s=60, memory_bytes=800_000_000)
_SPEC = FrameSpec(32)


def good_videos(folder: Path) -> list[Path]:
    """12 s of numbered pictures in every container that the rules know."""
    ways: dict[str, dict[str, Any]] = {
        "a.mp4": {"b_frames": 2},
        "b.mov": {},
        "c.mkv": {"b_frames": 2},
        "d.webm": {"codec": "libvpx-vp9", "codec_options": {"cpu-used": "8", "deadline": "realtime"}},
        "e.avi": {"codec": "mpeg4", "own_rate": True},
        "f.ts": {"b_frames": 2},
        "g.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    }
    return [make_video(folder / name, even_times(300, 25), **how) for name, how in ways.items()]


def check_all(damaged: Sequence[Mutant]) -> dict[str, int]:
    """Decode damaged files as a run does, and check what each must keep; how many ended how.

    Every file ends, with a sentence if it fails or is damaged; none hangs, and none gives more windows than its source
    and one. Workers have a memory limit of 0.8 GB.
    """
    sources = sorted({mutant.source for mutant in damaged})
    ends: dict[Path, VideoDone | DecodeFailed] = {}
    windows: Counter[Path] = Counter()
    files = [_as_file(path) for path in (*sources, *(mutant.path for mutant in damaged))]
    with DecodePool(2, _SPEC, WindowSpec(), limits=_LIMITS, buffered_events=8) as pool:
        for event in pool.decode(files):
            windows[event.file.path] += isinstance(event, WindowDecoded)
            if isinstance(event, VideoDone | DecodeFailed):
                assert event.file.path not in ends
                ends[event.file.path] = event
    for source in sources:
        assert isinstance(ends[source], VideoDone), source
    found: Counter[str] = Counter()
    for mutant in damaged:
        end = ends[mutant.path]
        kind = end.error.kind if isinstance(end, DecodeFailed) else "partial" if end.facts.damage else "whole"
        said = str(end.error) if isinstance(end, DecodeFailed) else end.facts.damage
        assert kind != "timeout", mutant
        assert windows[mutant.path] <= windows[mutant.source] + 1, (mutant, windows[mutant.path])
        assert said is None or (said.endswith(".") and "\n" not in said and mutant.path.name in said), said
        found[kind] += 1
    return dict(found)


def _as_file(path: Path) -> VideoFile:
    status = path.stat()
    return VideoFile(path, status.st_size, status.st_mtime_ns)
