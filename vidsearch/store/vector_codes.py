"""Vectors as short codes, and the windows that are nearest by them: candidates for an exact score, never a score.

Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest
Neighbor Search" (arXiv 2405.12497), section 3: vectors are centred and turned by a random rotation; the signs of the
turned values are the code o', and <o', q> / <o', o> estimates the cosine <o, q> with an error that depends on the
number of values alone, not on the vectors. Gao et al. (arXiv 2409.09913) do the same with several bits a value.

Neighbouring windows of a video that are alike make a group. A search compares the mean of every group, two bits a
value, and then every window of the best groups, four bits a value.

Two bits are multiplied with a query of three bits a value as bit planes: XOR and counted bits, 64 values at a time.
Four bits become floating point numbers first. Axes: E values of a vector, n windows, G groups, P planes of a code and B
of a query, W = E / 64 words of a plane, R = E / 16 + 2 words of a record.
"""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.machine import cores

SEED = 20
BITS_A_WORD = 64
VALUES_A_WORD = 16
# The uniform step, in standard deviations, that loses least of normal values, by the number of bits, and the share of
# their power that it keeps (Max, 1960).
STEPS = {2: 0.9957, 3: 0.5860, 4: 0.3352}
KEPT = {2: 0.8812, 3: 0.9626, 4: 0.9885}
GROUP_BITS, QUERY_BITS, WINDOW_BITS = 2, 3, 4  # QUERY_BITS: of the query that groups are compared with
HIGHEST = 2**WINDOW_BITS - 1
# Windows become a group if the mean of their directions is at least so long: 1 if they are one direction. Groups have
# 1, 2, 4, … windows, as halves are joined that are groups themselves.
ALIKE = 0.9
GROUP_AT_MOST = 16
# What the groups hand on of all windows: a share, in smaller libraries at least so many. Where that is not enough, as
# in a library of few long videos, whose directions are few, also what may belong to the best by the error of the
# estimate, up to another share. docs/search.md has what was measured.
SHARE, AT_LEAST, SHARE_AT_MOST = 64, 8192, 16
ERRORS_ALLOWED = 3
HEAD = 10  # groups that are the best for this purpose
GROUPS_BLOCK, WINDOWS_BLOCK = 8192, 1024  # smaller ones take longer to begin with, larger ones leave the caches
BLOCKS_A_THREAD = 2  # with less, another thread costs more than it gives
TAIL_WORDS = 2  # of a record: scale with checksum, balance

Float32s = NDArray[np.float32]
Words = NDArray[np.uint64]
Positions = NDArray[np.intp]


class DamagedCodes(Exception):  # noqa: N818 - caught by whoever can do without the codes
    """Codes are not what was written."""


@dataclass(frozen=True, slots=True)
class Space:
    """Where vectors are coded: their mean (E,), and a rotation (E, E)."""

    mean: Float32s
    rotation: Float32s

    @classmethod
    def around(cls, mean: Float32s) -> Space:
        """The space of vectors with this mean; always the same rotation for a length."""
        normal = np.random.default_rng(SEED).standard_normal((len(mean), len(mean)))
        return cls(mean.astype("<f4"), np.linalg.qr(normal)[0].astype("<f4"))

    def encode(self, rows: Float32s, counts: Sequence[int]) -> Codes:
        """(n, E), float16 values, of videos with so many windows each → their codes."""
        centred = (rows - self.mean) @ self.rotation.T
        lengths = np.linalg.norm(centred, axis=1)
        turned = centred / np.maximum(lengths, 1e-12)[:, None]
        starts, means = alike(turned, counts)
        directness = np.linalg.norm(means, axis=1)  # 1 if all windows have one direction
        directions = means / np.maximum(directness, 1e-12)[:, None]
        group_lengths = directness * np.add.reduceat(lengths, starts[:-1]) / np.diff(starts)
        return Codes(
            rows.shape[1],
            starts.astype("<u4"),
            *_planes(directions, group_lengths),
            _records(turned, lengths, _checksums(rows)),
        )


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of n vectors of `dim` values.

    starts: (G + 1,) uint32, the first window of each group, and n. planes: (P, W, G) uint64, of the mean of the
    directions of its windows, the highest bits first. scales: (G,), length / <o', o>, where the length is that of the
    mean. windows: (n, R) uint64, a record of each window: a level of four bits for each value, byte i with that of
    value i in its lower half and that of value i + 8 (R - 2) in its upper one; then its scale (float32), the CRC-32 of
    the vector as it is stored, and a word that brings the sum of the record to zero.
    """

    dim: int
    starts: NDArray[np.uint32]
    planes: Words
    scales: Float32s
    windows: Words

    @property
    def count(self) -> int:
        return len(self.windows)

    @property
    def groups(self) -> int:
        return len(self.scales)

    def sizes(self, groups: Positions) -> NDArray[np.int64]:
        """(len(groups),) windows of groups."""
        return (self.starts[groups + 1] - self.starts[groups]).astype(np.int64)

    def of_groups(self, groups: Positions) -> Codes:
        """The codes of the windows of some groups."""
        rows = self._rows_of(groups)
        return Codes(
            self.dim,
            np.concatenate([[0], np.cumsum(self.sizes(groups))]).astype("<u4"),
            self.planes[..., groups],
            self.scales[groups],
            self.windows[rows],
        )

    def vector_checksums(self, positions: Positions) -> NDArray[np.uint32]:
        """CRC-32 of the float16 rows at these positions."""
        return (self.windows[positions, -TAIL_WORDS] >> np.uint64(32)).astype(np.uint32)

    def nearest(self, turned: Float32s, count: int, allowed: NDArray[np.bool_] | None = None) -> Positions:
        """About the `count` windows nearest to a rotated query (E,), in ascending order of position.

        `allowed`: (G,), the only groups to look at. Raises DamagedCodes.
        """
        kept = self._in_best_groups(turned, 4 * count, allowed)
        return kept[_best(self._window_scores(turned, kept), count)]

    def _in_best_groups(self, turned: Float32s, at_least: int, allowed: NDArray[np.bool_] | None) -> Positions:
        """The windows of the best groups, one group after the other."""
        kept = np.arange(self.groups) if allowed is None else np.flatnonzero(allowed)
        rows = int(self.sizes(kept).sum())
        few = max(AT_LEAST, rows // SHARE, at_least)
        if rows > few:
            scores = self._group_scores(turned)[kept]
            best = _best(scores, ceil(len(kept) * few / rows))
            likely = int(np.count_nonzero(scores >= _at_place(scores[best], HEAD) - self._error(turned)))
            if len(best) < (more := min(likely, len(kept) // SHARE_AT_MOST)):
                best = _best(scores, more)
            kept = kept[best]
        return self._rows_of(kept)

    def _rows_of(self, groups: Positions) -> Positions:
        """The windows of groups, one group after the other."""
        sizes = self.sizes(groups)
        before = np.cumsum(sizes) - sizes
        return np.repeat(self.starts[groups] - before, sizes) + np.arange(sizes.sum())

    def _error(self, turned: Float32s) -> float:
        """How far the estimate of a group may be off: ERRORS_ALLOWED errors at a usual length (RaBitQ, section 3.2).

        The length is known by its scale: a standard deviation of values is 2 / STEPS in o', and <o', o> a share of it.
        """
        likeness = 2 / STEPS[GROUP_BITS] * np.sqrt(self.dim) * KEPT[GROUP_BITS]
        lengths = float(self.scales.mean()) * likeness * float(np.linalg.norm(turned))
        of_unit_length = np.sqrt((1 / (KEPT[GROUP_BITS] * KEPT[QUERY_BITS]) - 1) / self.dim)
        return float(ERRORS_ALLOWED * of_unit_length * lengths)

    def _group_scores(self, turned: Float32s) -> Float32s:
        """(G,): what the codes of groups say of <mean - mean of all, query>."""
        query = QueryPlanes.of(turned)
        scores = np.empty(self.groups, dtype=np.float32)

        def work(blocks: Iterator[slice]) -> None:
            products = _Products(query)
            for block in blocks:
                np.multiply(products.with_planes(self.planes[..., block]), self.scales[block], out=scores[block])

        _in_threads(work, self.groups, GROUPS_BLOCK)
        return scores

    def _window_scores(self, turned: Float32s, positions: Positions) -> Float32s:
        """(len(positions),): what the codes of windows say of <vector - mean of all, query>. Raises DamagedCodes."""
        half = self.windows[:, :-TAIL_WORDS].shape[1] * BITS_A_WORD // 8
        query = np.zeros(2 * half, dtype=np.float32)
        query[: self.dim] = turned
        total = query.sum()
        scores = np.empty(len(positions), dtype=np.float32)

        def work(blocks: Iterator[slice]) -> None:
            levels = np.empty((WINDOWS_BLOCK, 2 * half), dtype=np.float32)
            for block in blocks:
                records = self.windows.take(positions[block], axis=0)
                if not is_balanced(records):
                    raise DamagedCodes
                packed, some = records[:, :-TAIL_WORDS].view(np.uint8), levels[: len(records)]
                some[:, :half] = packed & HIGHEST
                some[:, half:] = packed >> WINDOW_BITS
                products = 2 * np.vecdot(some, query) - HIGHEST * total
                scores[block] = products * records.view("<f4")[:, -2 * TAIL_WORDS]

        _in_threads(work, len(positions), WINDOWS_BLOCK)
        return scores


@dataclass(frozen=True, slots=True)
class QueryPlanes:
    """A query (E,) at QUERY_BITS a value: value = step (2 level - 7), level = 4 planes[0] + 2 planes[1] + planes[2]."""

    dim: int
    planes: Words  # (QUERY_BITS, W)
    step: float

    @classmethod
    def of(cls, turned: Float32s) -> QueryPlanes:
        """The nearest levels of a rotated query."""
        spread = max(float(np.linalg.norm(turned)) / np.sqrt(len(turned)), 1e-30)
        planes = _planes_of(_levels(turned[None] / spread, QUERY_BITS), QUERY_BITS)
        return cls(len(turned), planes[:, 0], STEPS[QUERY_BITS] * spread / 2)


class _Products:
    """The products of a query with codes, some at a time, with the memory that this takes. For one thread."""

    def __init__(self, query: QueryPlanes) -> None:
        self._query = query
        self._differing = np.empty((*query.planes.shape, GROUPS_BLOCK), dtype=np.uint64)
        self._counts = np.empty((*query.planes.shape, GROUPS_BLOCK), dtype=np.uint8)

    def with_planes(self, planes: Words) -> Float32s:
        """(P, W, m) → (m,) <code, query>.

        A plane of bits b stands for values 2 b - 1, and for two of these <x, y> = E - 2 * differing bits.
        """
        query = self._query
        differing, counts = (part[..., : planes.shape[2]] for part in (self._differing, self._counts))
        total = np.zeros(planes.shape[2], dtype=np.float32)
        for words in planes:
            np.bitwise_xor(words, query.planes[..., None], out=differing)
            np.bitwise_count(differing, out=counts)
            total *= 2
            for bit, count in enumerate(reversed(np.add.reduce(counts, axis=1, dtype=np.uint16))):
                total += np.float32(2**bit) * count
        highest = (2 ** len(planes) - 1) * (2**QUERY_BITS - 1)
        return np.float32(query.step) * (np.float32(query.dim * highest) - 2 * total)


def record_words(dim: int) -> int:
    """The length of a record: four bits a value in whole words, and the tail."""
    return -(-dim // VALUES_A_WORD) + TAIL_WORDS


def plane_words(dim: int) -> int:
    """Words of one bit a value."""
    return -(-dim // BITS_A_WORD)


def is_balanced(records: Words) -> bool:
    """Whether records are what was written: their words sum to zero."""
    return int(np.add.reduce(records, axis=None, dtype=np.uint64)) == 0


def alike(turned: Float32s, counts: Sequence[int]) -> tuple[NDArray[np.int64], Float32s]:
    """Directions (n, E) of the windows of videos → (G + 1,) first window of each group, and n; (G, E) means.

    Aligned halves of a group are groups themselves, so that one window that shows something else stays by itself.
    """
    counts_ = np.asarray(counts, dtype=np.int64)
    first_of_video = np.repeat(np.cumsum(counts_) - counts_, counts_)
    starts = np.arange(len(turned))
    sizes = np.ones(len(turned), dtype=np.int64)
    sums = turned.copy()
    size = 1
    while size < GROUP_AT_MOST:
        places = starts - first_of_video[starts]
        whole = (sizes[:-1] == size) & (sizes[1:] == size) & (places[:-1] % (2 * size) == 0)
        left = np.flatnonzero(whole & (places[1:] == places[:-1] + size))
        joint = sums[left] + sums[left + 1]
        is_alike = np.linalg.norm(joint, axis=1) >= ALIKE * 2 * size
        left = left[is_alike]
        sums[left] = joint[is_alike]
        sizes[left] *= 2
        staying = np.ones(len(starts), dtype=bool)
        staying[left + 1] = False
        starts, sizes, sums = starts[staying], sizes[staying], sums[staying]
        size *= 2
    return np.append(starts, len(turned)), np.asarray(sums / sizes[:, None], dtype=np.float32)


def _planes_of(levels: NDArray[np.uint8], bits: int) -> Words:
    """(n, E) levels → (bits, n, W) planes, the highest bit first, the last word filled with zeros."""
    missing = -levels.shape[1] % BITS_A_WORD
    filled = np.pad(levels, ((0, 0), (0, missing))) if missing else levels
    planes = [np.packbits(filled >> bit & 1, axis=1, bitorder="little") for bit in reversed(range(bits))]
    return np.stack(planes).view("<u8")


def _levels(values: Float32s, bits: int) -> NDArray[np.uint8]:
    """The nearest levels of values, which are given in their standard deviations."""
    return np.clip(np.floor(values / STEPS[bits]) + 2 ** (bits - 1), 0, 2**bits - 1).astype(np.uint8)


def _coded(directions: Float32s, lengths: Float32s, bits: int) -> tuple[NDArray[np.uint8], Float32s]:
    """(n, E) of unit length, and how long the vectors are → (n, E) levels, (n,) scales."""
    levels = _levels(directions * np.sqrt(directions.shape[1]), bits)
    likeness = np.einsum("ij,ij->i", 2 * levels.astype(np.float32) - (2**bits - 1), directions)
    return levels, np.where(lengths > 1e-6, lengths / np.maximum(likeness, 1e-12), 0).astype("<f4")


def _planes(directions: Float32s, lengths: Float32s) -> tuple[Words, Float32s]:
    """The same → (P, W, n), (n,) scales."""
    levels, scales = _coded(directions, lengths, GROUP_BITS)
    return np.ascontiguousarray(_planes_of(levels, GROUP_BITS).transpose(0, 2, 1)), scales


def _records(directions: Float32s, lengths: Float32s, checksums: NDArray[np.uint32]) -> Words:
    """The same, and the checksums of the vectors → (n, R)."""
    levels, scales = _coded(directions, lengths, WINDOW_BITS)
    records = np.zeros((len(levels), record_words(levels.shape[1])), dtype="<u8")
    packed = records[:, :-TAIL_WORDS].view(np.uint8)
    half = packed.shape[1]
    packed[:, : min(half, levels.shape[1])] = levels[:, :half]
    packed[:, : max(levels.shape[1] - half, 0)] |= levels[:, half:] << WINDOW_BITS
    records[:, -TAIL_WORDS] = scales.view("<u4") | checksums.astype("<u8") << np.uint64(32)
    records[:, -1] = np.uint64(0) - records[:, :-1].sum(axis=1, dtype=np.uint64)
    return records


def _checksums(rows: Float32s) -> NDArray[np.uint32]:
    stored = rows.astype("<f2")
    return np.fromiter((zlib.crc32(row) for row in stored), dtype="<u4", count=len(stored))


def _best(scores: Float32s, count: int) -> Positions:
    """Positions of the `count` highest scores, and of those equal to the last of them up to as many again."""
    if count >= len(scores):
        return np.arange(len(scores))
    edge = _at_place(scores, count)
    above = np.flatnonzero(scores > edge)
    equal = np.flatnonzero(scores == edge)[: 2 * count - len(above)]
    return np.sort(np.concatenate([above, equal]), kind="stable")  # two ascending runs, which it merges


def _at_place(scores: Float32s, count: int) -> float:
    """The lowest of the `count` highest scores."""
    place = max(len(scores) - count, 0)
    return float(np.partition(scores, place)[place])


def _in_threads(work: Callable[[Iterator[slice]], None], count: int, size: int) -> None:
    """work(blocks) over all of `count`, in as many threads as there are cores and blocks for; numpy lets go of the GIL.

    A thread takes the next block when it is done with one: on a busy machine one may be much slower than another.
    """
    waiting = deque(slice(start, min(start + size, count)) for start in range(0, count, size))
    errors: list[BaseException] = []

    def blocks() -> Iterator[slice]:
        while waiting:
            try:
                yield waiting.popleft()
            except IndexError:  # another thread took the last one
                return

    def guarded() -> None:
        try:
            work(blocks())
        except BaseException as error:
            errors.append(error)

    threads = max(1, min(cores(), len(waiting) // BLOCKS_A_THREAD))
    others = [threading.Thread(target=guarded) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    guarded()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
