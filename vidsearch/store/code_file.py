"""The codes of one model's vectors in a file beside the database: a cache that is searched without being loaded.

A head (JSON, with a checksum) says what the file is; then come the arrays of `_Layout`, each from a multiple of
64 bytes on, mapped into memory where they lie. What is read of them is checked: the records of windows when a search
takes them, all else when the file is opened. The file is written whole or not at all, and never changed.
"""

from __future__ import annotations

import json
import logging
import math
import mmap
import operator
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vidsearch.files import replacing
from vidsearch.frozen import dataclass
from vidsearch.store.vector_codes import GROUP_BITS, Codes, Space, is_balanced, plane_words, record_words

log = logging.getLogger(__name__)

FORMAT = 3
HEAD_BYTES = 1024
ALIGNMENT = 64
BLOCK = 8192  # windows that are coded, copied or checked at a time


@dataclass(frozen=True, slots=True)
class CodeHead:
    """What the file says of itself. `runs`: videos; `built`: rows when the space was chosen."""

    format: int
    model: str
    dim: int
    rows: int
    groups: int
    runs: int
    built: int
    small_crc32: int  # of mean, rotation, firsts and counts
    groups_sum: int  # of the words of starts, planes and scales, modulo 2^64


@dataclass(frozen=True, slots=True)
class CodeFile:
    """An open file. Run i is a video: `counts[i]` rows in a row, of the vectors with the ids from `firsts[i]` on."""

    head: CodeHead
    space: Space
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]  # the first row of each run
    group_counts: NDArray[np.int64]  # how many groups each run has
    codes: Codes

    @classmethod
    def load(cls, folder: Path, name: str, *, model: str, dim: int) -> CodeFile | None:
        """The file as it was saved; None if it is missing, torn, not ours, or of another model or dimension."""
        path = file_of(folder, name)
        if not path.is_file():  # a pipe would be waited for
            return None
        try:
            with path.open("rb") as opened:
                head = _read_head(opened.read(HEAD_BYTES))
                if head is None or (head.model, head.dim) != (model, dim):
                    return None
                layout = _Layout(head.dim, head.rows, head.runs, head.groups)
                if opened.seek(0, 2) != layout.size_bytes:
                    return None
                content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: an empty file
            return None
        file = _mapped(head, layout, content)
        if not file._is_whole():
            log.info("%s is damaged", path)
            return None
        return file

    def _is_whole(self) -> bool:
        small = (self.space.mean, self.space.rotation, self.firsts, self.counts)
        return (
            _crc32(small) == self.head.small_crc32
            and bool((self.counts >= 0).all())
            and int(self.counts.sum()) == self.head.rows
            and _groups_sum(self.codes) == self.head.groups_sum
        )

    def is_sound(self) -> bool:
        """Whether every record is what was written; reads the whole file."""
        windows = self.codes.windows
        return all(is_balanced(windows[row : row + BLOCK]) for row in range(0, len(windows), BLOCK))

    def id_sums(self) -> tuple[int, int, int, int]:
        """How many videos and windows, and the sums of the upper and the lower 32 bits of the first ids."""
        upper, lower = int((self.firsts >> 32).sum()), int((self.firsts & 0xFFFFFFFF).sum())
        return self.head.runs, self.head.rows, upper, lower

    def groups_of(self, runs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(runs,) → (groups,)"""
        return np.repeat(runs, self.group_counts)


@dataclass(frozen=True, slots=True)
class Kept:
    """An older file in whose space the new one is written, and which of its runs go on: their codes are copied."""

    file: CodeFile
    runs: NDArray[np.bool_]


ReadRun = Callable[[int, int], NDArray[np.float32] | None]


def write(
    folder: Path, name: str, *, model: str, space: Space, new: list[tuple[int, int]], read: ReadRun, kept: Kept | None
) -> None:
    """Writes the file whole or not at all; OSError if the disk refuses.

    `new`: first id and count of the videos to code. `read` gives the vectors of one, (count, E), or None if they cannot
    be read: then its rows stay unused, under no id.
    """
    firsts = np.array([*(kept.file.firsts[kept.runs] if kept else ()), *(first for first, _ in new)], dtype="<i8")
    counts = np.array([*(kept.file.counts[kept.runs] if kept else ()), *(count for _, count in new)], dtype="<i8")
    dim, rows_in_all = len(space.mean), int(counts.sum())
    layout = _Layout(dim, rows_in_all, len(firsts))
    already = len(firsts) - len(new)

    def encoded() -> Iterator[Codes]:
        if kept is not None:
            yield from _copied(kept)
        waiting: list[NDArray[np.float32]] = []
        rows_waiting = 0
        for number, (first, count) in enumerate(new, start=already):
            rows = read(first, count)
            if rows is None:
                firsts[number] = -1
                rows = np.zeros((count, dim), dtype=np.float32)
            waiting.append(rows)
            rows_waiting += count
            if rows_waiting >= BLOCK or number == len(firsts) - 1:
                yield space.encode(np.concatenate(waiting), [len(rows) for rows in waiting])
                waiting, rows_waiting = [], 0

    with replacing(file_of(folder, name), durable=True, private=True) as partial, partial.open("r+b") as opened:
        row = 0
        groups: list[_Groups] = []  # how many there are is known at the end
        for codes in encoded():
            _write_at(opened, layout.windows + 8 * record_words(dim) * row, codes.windows)
            groups.append(_Groups(row + codes.starts[:-1], codes.planes, codes.scales))
            row += codes.count
        layout = _Layout(dim, rows_in_all, len(firsts), sum(len(block.starts) for block in groups))
        opened.truncate(layout.size_bytes)
        groups_sum = _write_groups(opened, layout, rows_in_all, groups)
        for offset, small in zip(
            (layout.mean, layout.rotation, layout.firsts, layout.counts),
            (space.mean, space.rotation, firsts, counts),
            strict=True,
        ):
            _write_at(opened, offset, small)
        _write_head(
            opened,
            CodeHead(
                format=FORMAT,
                model=model,
                dim=dim,
                rows=rows_in_all,
                groups=layout.groups_in_all,
                runs=len(firsts),
                built=kept.file.head.built if kept else rows_in_all,
                small_crc32=_crc32((space.mean, space.rotation, firsts, counts)),
                groups_sum=groups_sum,
            ),
        )


def file_of(folder: Path, name: str) -> Path:
    """The file of codes, whether it exists or not."""
    return folder / f"{name}.codes"


def identity(folder: Path, name: str) -> tuple[int, int, int] | None:
    """What tells one file of this name from the next; None if there is none."""
    try:
        status = file_of(folder, name).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def delete(folder: Path, name: str) -> None:
    """Deletes the file. One that cannot be deleted stays: one that does not fit the database is not believed."""
    try:
        file_of(folder, name).unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be deleted (%s)", file_of(folder, name), error.strerror)


class _Layout:
    """Where the arrays of a file lie, in bytes from its start."""

    def __init__(self, dim: int, rows: int, runs: int, groups: int = 0) -> None:
        self.groups_in_all = groups
        self._end = HEAD_BYTES
        self.mean = self._place(4 * dim)
        self.rotation = self._place(4 * dim * dim)
        self.firsts = self._place(8 * runs)
        self.counts = self._place(8 * runs)
        self.windows = self._place(8 * record_words(dim) * rows)
        self.starts = self._place(4 * (groups + 1))
        self.planes = self._place(8 * GROUP_BITS * plane_words(dim) * groups)
        self.scales = self._place(4 * groups)
        self.size_bytes = self._end

    def _place(self, size_bytes: int) -> int:
        offset = self._end
        self._end += -(-size_bytes // ALIGNMENT) * ALIGNMENT
        return offset


def _mapped(head: CodeHead, layout: _Layout, content: mmap.mmap) -> CodeFile:
    def array(offset: int, dtype: str, *shape: int) -> NDArray[Any]:
        return np.frombuffer(content, dtype, count=math.prod(shape), offset=offset).reshape(shape)

    counts = array(layout.counts, "<i8", head.runs)
    starts = (np.cumsum(counts) - counts).astype(np.int64)
    group_starts = array(layout.starts, "<u4", head.groups + 1)
    return CodeFile(
        head,
        Space(array(layout.mean, "<f4", head.dim), array(layout.rotation, "<f4", head.dim, head.dim)),
        array(layout.firsts, "<i8", head.runs),
        counts,
        starts,
        np.diff(np.searchsorted(group_starts[:-1], starts), append=head.groups),
        Codes(
            head.dim,
            group_starts,
            array(layout.planes, "<u8", GROUP_BITS, plane_words(head.dim), head.groups),
            array(layout.scales, "<f4", head.groups),
            array(layout.windows, "<u8", head.rows, record_words(head.dim)),
        ),
    )


def _copied(kept: Kept) -> Iterator[Codes]:
    codes = kept.file.codes
    groups = np.flatnonzero(np.repeat(kept.runs, kept.file.group_counts))
    for first in range(0, len(groups), BLOCK):
        yield codes.of_groups(groups[first : first + BLOCK])


@dataclass(frozen=True, slots=True)
class _Groups:
    """What there is of some groups."""

    starts: NDArray[np.integer]
    planes: NDArray[np.uint64]
    scales: NDArray[np.float32]


def _write_groups(opened: BinaryIO, layout: _Layout, rows: int, blocks: list[_Groups]) -> int:
    """Writes the arrays of all groups; the sum for the head."""
    group = total = 0
    for block in blocks:
        starts = block.starts.astype("<u4")
        _write_at(opened, layout.starts + 4 * group, starts)
        for number, words in enumerate(block.planes.reshape(-1, len(starts))):
            _write_at(opened, layout.planes + 8 * (number * layout.groups_in_all + group), words)
        _write_at(opened, layout.scales + 4 * group, block.scales)
        total += _sum(starts) + _sum(block.planes) + _sum(block.scales.view("<u4"))
        group += len(starts)
    _write_at(opened, layout.starts + 4 * group, np.array([rows], dtype="<u4"))
    return (total + rows) % 2**64


def _write_at(opened: BinaryIO, offset: int, values: NDArray[Any]) -> None:
    opened.seek(offset)
    opened.write(np.ascontiguousarray(values).tobytes())


def _write_head(opened: BinaryIO, head: CodeHead) -> None:
    body = json.dumps(asdict(head), sort_keys=True).encode()
    content = body + b"\n%08x\n" % zlib.crc32(body)
    if len(content) > HEAD_BYTES:
        raise ValueError(f"the name of the model {head.model!r} is too long")
    opened.seek(0)
    opened.write(content.ljust(HEAD_BYTES, b"\0"))


def _read_head(content: bytes) -> CodeHead | None:
    body, _, checksum = content.rstrip(b"\0").rstrip(b"\n").rpartition(b"\n")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        values = json.loads(body)
        if values["format"] != FORMAT:
            return None
        numbers = {
            field.name: operator.index(values[field.name]) for field in fields(CodeHead) if field.name != "model"
        }
        if min(numbers.values()) < 0 or numbers["dim"] == 0:
            return None
        return CodeHead(model=str(values["model"]), **numbers)
    except (ValueError, TypeError, KeyError, RecursionError):  # whole, but not one of ours
        return None


def _crc32(arrays: Iterable[NDArray[Any]]) -> int:
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return checksum


def _groups_sum(codes: Codes) -> int:
    return (_sum(codes.starts) + _sum(codes.planes) + _sum(codes.scales.view("<u4"))) % 2**64


def _sum(values: NDArray[np.unsignedinteger]) -> int:
    return int(np.add.reduce(values, axis=None, dtype=np.uint64))
