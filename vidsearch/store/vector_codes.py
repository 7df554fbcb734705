"""Vectors as short codes, and the windows that are nearest by them: candidates for an exact score, never a score.

Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest
Neighbor Search" (arXiv 2405.12497), section 3: vectors are centred and turned by a random rotation; the signs of the
turned values are the code o', and <o', q> / <o', o> estimates the cosine <o, q> with an error that depends on the
number of values alone, not on the vectors. Gao et al. (arXiv 2409.09913) do the same with several bits a value.

Neighbouring windows of a video that are alike make a group. A search has four steps, each with finer codes of fewer:

- The signs, one bit a value, of the mean of every group.
- The upper two bits of each value of that mean, of the groups that are best by their signs.
- The upper two bits of each value of the windows in the groups that are best by these.
- All four bits of the best of these windows.

Numbers of few bits are multiplied as bit planes: XOR and counted bits, 64 values at a time. Axes: E values of a
vector, n windows, G groups, W = E / 64 words of a plane, P planes of a code, B of a query.
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
LEVELS = 16
# The uniform step, in standard deviations, that loses least of normal values, by the number of bits (Max, 1960).
STEPS = {3: 0.5860, 4: 0.3352, 6: 0.1041}
SIGNS_QUERY_BITS, COARSE_QUERY_BITS, FINE_QUERY_BITS = 3, 3, 6
# Windows become a group if the mean of their directions is at least so long: 1 if they are one direction. Groups have
# 1, 2, 4, … windows, as halves are joined that are groups themselves.
ALIKE = 0.9
GROUP_AT_MOST = 16
# What the groups hand on of all windows: a share, in smaller libraries at least so many. Where that is not enough, as
# in a library of few long videos, whose directions are few, also what may belong to the best by the error of its
# estimate, up to another share. docs/search.md has what was measured.
SIGNS_SHARE, LEAST_BY_SIGNS, SIGNS_AT_MOST = 8, 16384, 4
GROUPS_SHARE, LEAST_BY_GROUPS, GROUPS_AT_MOST = 64, 8192, 16
# The error of an estimate (RaBitQ, section 3.2) is this / sqrt(E) times both lengths; so many of it are allowed for.
SIGNS_ERROR, COARSE_ERROR = 0.795, 0.457
ERRORS_ALLOWED = 3
HEAD, LOOKED_AT = 10, 64  # groups that are the best for this purpose, of so many that have the best signs
# What the upper bits of windows hand on, for each one wanted.
COARSE_A_WANTED = 12
SIGNS_BLOCK, ROWS_BLOCK = 8192, 2048  # what the processor's second cache holds with its planes
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
        levels, planes = _levels(turned)
        checksums = _checksums(rows)
        starts, means = alike(turned, counts)
        directness = np.linalg.norm(means, axis=1)  # 1 if all windows have one direction
        directions = means / np.maximum(directness, 1e-12)[:, None]
        group_lengths = directness * np.add.reduceat(lengths, starts[:-1]) / np.diff(starts)
        group_levels, group_planes = _levels(directions)
        return Codes(
            rows.shape[1],
            starts.astype("<u4"),
            np.ascontiguousarray(group_planes[0].T),
            _share(group_lengths, np.abs(directions).sum(axis=1)),
            _records(group_planes[:2], _share(group_lengths, _likeness(group_levels, 4, directions))),
            _records(planes[:2], _share(lengths, _likeness(levels, 4, turned))),
            _records(planes[2:], _share(lengths, _likeness(levels, 1, turned)), checksums),
        )


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of n vectors of `dim` values.

    starts: (G + 1,) uint32, the first window of each group, and n. signs: (W, G) uint64, of the mean of the directions
    of its windows. sign_scales: (G,), length / <o', o>, where the length is that of the mean. groups: (G, 2 W + 2), the
    upper two bit planes of these means. coarse, fine: (n, 2 W + 2), a window's upper two and lower two bit planes.
    Each row ends with its scale (float32, in `fine` for all four planes), in `fine` also with the CRC-32 of the vector
    as it is stored, and a word that brings the sum of the row to zero.
    """

    dim: int
    starts: NDArray[np.uint32]
    signs: Words
    sign_scales: Float32s
    groups: Words
    coarse: Words
    fine: Words

    @property
    def count(self) -> int:
        return len(self.coarse)

    def sizes(self, groups: Positions) -> NDArray[np.int64]:
        """(len(groups),) windows of groups."""
        return (self.starts[groups + 1] - self.starts[groups]).astype(np.int64)

    def of_groups(self, groups: Positions) -> Codes:
        """The codes of the windows of some groups."""
        rows = self._rows_of(groups)
        return Codes(
            self.dim,
            np.concatenate([[0], np.cumsum(self.sizes(groups))]).astype("<u4"),
            self.signs[:, groups],
            self.sign_scales[groups],
            self.groups[groups],
            self.coarse[rows],
            self.fine[rows],
        )

    def vector_checksums(self, positions: Positions) -> list[int]:
        """CRC-32 of the float16 rows at these positions."""
        return (self.fine[positions, -TAIL_WORDS] >> np.uint64(32)).tolist()

    def nearest(self, turned: Float32s, count: int, allowed: NDArray[np.bool_] | None = None) -> Positions:
        """About the `count` windows nearest to a rotated query (E,), in ascending order of position.

        `allowed`: (G,), the only groups to look at. Raises DamagedCodes.
        """
        kept = self._in_best_groups(turned, 4 * count, allowed)
        few = COARSE_A_WANTED * count
        if len(kept) > few:
            kept = kept[_best(self._coarse_scores(turned, kept), few)]
        return kept[_best(self._fine_scores(turned, kept), count)]

    def _in_best_groups(self, turned: Float32s, at_least: int, allowed: NDArray[np.bool_] | None) -> Positions:
        """The windows of the best groups, in ascending order."""
        kept = np.arange(len(self.groups)) if allowed is None else np.flatnonzero(allowed)
        rows = self.count if allowed is None else int(self.sizes(kept).sum())
        if rows > (few := max(LEAST_BY_SIGNS, rows // SIGNS_SHARE, at_least)):
            scores = self._sign_scores(turned)
            scores = scores if allowed is None else scores[kept]
            best = _best(scores, ceil(len(kept) * few / rows))
            likely = best[_best(scores[best], LOOKED_AT)]
            lowest = _at_place(self._group_scores(turned, kept[likely]), HEAD) - self._error(turned, SIGNS_ERROR)
            kept = kept[_reaching(scores, best, lowest, len(kept) // SIGNS_AT_MOST)]
        few, most = max(LEAST_BY_GROUPS, rows // GROUPS_SHARE, at_least), rows // GROUPS_AT_MOST
        if (rows := int(self.sizes(kept).sum())) > few:
            scores = self._group_scores(turned, kept)
            lowest = _at_place(scores, HEAD) - self._error(turned, COARSE_ERROR)
            best = _best(scores, ceil(len(kept) * few / rows))
            kept = kept[_reaching(scores, best, lowest, len(kept) * most // rows)]
        return self._rows_of(kept)

    def _rows_of(self, groups: Positions) -> Positions:
        """The windows of groups, one group after the other."""
        sizes = self.sizes(groups)
        before = np.cumsum(sizes) - sizes
        return np.repeat(self.starts[groups] - before, sizes) + np.arange(sizes.sum())

    def _error(self, turned: Float32s, of_unit_length: float) -> float:
        """How far the estimate of a group may be off: so many errors at a usual length.

        The length is known by its scale: <o', o> of signs is the mean of |values|, sqrt(2 / pi) for normal ones.
        """
        lengths = float(self.sign_scales.mean()) * np.sqrt(2 * self.dim / np.pi) * float(np.linalg.norm(turned))
        return float(ERRORS_ALLOWED * of_unit_length * lengths / np.sqrt(self.dim))

    def _sign_scores(self, turned: Float32s) -> Float32s:
        """(G,): what its signs say of the mean of a group."""
        query = QueryPlanes.of(turned, SIGNS_QUERY_BITS)
        scores = np.empty(len(self.sign_scales), dtype=np.float32)

        def work(blocks: Iterator[slice]) -> None:
            product = _Product(query, SIGNS_BLOCK)
            for block in blocks:
                np.multiply(product.with_planes([self.signs[:, block]]), self.sign_scales[block], out=scores[block])

        _in_threads(work, len(scores), SIGNS_BLOCK)
        return scores

    def _group_scores(self, turned: Float32s, groups: Positions) -> Float32s:
        """(len(groups),): what the upper two bits say of the mean of a group."""
        return self._scores(QueryPlanes.of(turned, COARSE_QUERY_BITS), groups, [self.groups])

    def _coarse_scores(self, turned: Float32s, positions: Positions) -> Float32s:
        """(len(positions),): what the upper two bits say."""
        return self._scores(QueryPlanes.of(turned, COARSE_QUERY_BITS), positions, [self.coarse])

    def _fine_scores(self, turned: Float32s, positions: Positions) -> Float32s:
        """(len(positions),): what all four bits say."""
        return self._scores(QueryPlanes.of(turned, FINE_QUERY_BITS), positions, [self.coarse, self.fine])

    def _scores(self, query: QueryPlanes, positions: Positions, tables: Sequence[Words]) -> Float32s:
        scores = np.empty(len(positions), dtype=np.float32)
        damaged: list[int] = []

        def work(blocks: Iterator[slice]) -> None:
            product = _Product(query, ROWS_BLOCK)
            for block in blocks:
                planes: list[Words] = []
                for table in tables:
                    records = table.take(positions[block], axis=0)
                    if not is_balanced(records):
                        damaged.append(block.start)
                        return
                    words = np.ascontiguousarray(records.T)
                    planes += [words[: query.words], words[query.words : 2 * query.words]]
                    scales = words[-TAIL_WORDS].view("<f4")[::2]
                np.multiply(product.with_planes(planes), scales, out=scores[block])

        _in_threads(work, len(positions), ROWS_BLOCK)
        if damaged:
            raise DamagedCodes
        return scores


@dataclass(frozen=True, slots=True)
class QueryPlanes:
    """A query (E,) at B bits a value: value = step (2 level - 2^B + 1), level = the sum of 2^j planes[j]."""

    dim: int
    planes: Words  # (B, W)
    step: float

    @classmethod
    def of(cls, turned: Float32s, bits: int) -> QueryPlanes:
        """The nearest levels of a rotated query."""
        spread = max(float(np.linalg.norm(turned)) / np.sqrt(len(turned)), 1e-30)
        step = STEPS[bits] * spread
        levels = np.clip(np.floor(turned / step) + 2 ** (bits - 1), 0, 2**bits - 1).astype(np.uint8)
        return cls(len(turned), _row_words((levels >> np.arange(bits, dtype=np.uint8)[:, None]) & 1), step / 2)

    @property
    def words(self) -> int:
        return self.planes.shape[1]


class _Product:
    """The products of a query with codes, some at a time, with the memory that this takes. For one thread."""

    def __init__(self, query: QueryPlanes, most: int) -> None:
        self._query = query
        self._differing = np.empty((query.words, most), dtype=np.uint64)
        self._counts = np.empty((query.words, most), dtype=np.uint8)

    def with_planes(self, planes: Sequence[Words]) -> Float32s:
        """P planes (W, m) of codes, the highest first → (m,) <code, query>.

        A plane of bits b stands for values 2 b - 1, and for two of these <x, y> = E - 2 * differing bits.
        """
        query = self._query
        bits, length = len(query.planes), planes[0].shape[1]
        # The bits that differ, by the power of two that their planes have together: at most E * min(P, B) < 2^16.
        by_power = np.zeros((len(planes) + bits - 1, length), dtype=np.uint16)
        for power, words in enumerate(reversed(planes)):
            for bit, plane in enumerate(query.planes):
                self._add_differing(words, plane, by_power[power + bit])
        total = by_power[-1].astype(np.float32)
        for counts in by_power[-2::-1]:
            total *= 2
            total += counts
        highest = (2 ** len(planes) - 1) * (2**bits - 1)
        np.subtract(np.float32(query.dim * highest / 2), total, out=total)
        total *= np.float32(2 * query.step)
        return total

    def _add_differing(self, words: Words, plane: Words, total: NDArray[np.uint16]) -> None:
        """Adds to (m,) the bits in which columns (W, m) differ from a plane (W,)."""
        differing, counts = self._differing[:, : len(total)], self._counts[:, : len(total)]
        np.bitwise_xor(words, plane[:, None], out=differing)
        np.bitwise_count(differing, out=counts)
        for first in range(0, len(counts), 3):  # three words have 192 bits, which a byte can count
            for word in range(first + 1, min(first + 3, len(counts))):
                np.add(counts[first], counts[word], out=counts[first])
            np.add(total, counts[first], out=total)


def record_words(dim: int) -> int:
    """The length of a record: two planes in whole words, and the tail."""
    return 2 * plane_words(dim) + TAIL_WORDS


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


def _row_words(bits: NDArray[np.uint8]) -> Words:
    """(n, E) → (n, W), the last word filled with zeros."""
    missing = -bits.shape[1] % BITS_A_WORD
    filled = np.pad(bits, ((0, 0), (0, missing))) if missing else bits
    return np.packbits(filled, axis=1, bitorder="little").view("<u8")


def _levels(turned: Float32s) -> tuple[NDArray[np.uint8], list[Words]]:
    """(n, E) of unit length → levels of four bits, and their planes (n, W), the highest first."""
    dim = turned.shape[1]
    levels = np.clip(np.floor(turned * (np.sqrt(dim) / STEPS[4])) + LEVELS // 2, 0, LEVELS - 1).astype(np.uint8)
    return levels, [_row_words((levels >> bit) & 1) for bit in (3, 2, 1, 0)]


def _likeness(levels: NDArray[np.uint8], step: int, turned: Float32s) -> Float32s:
    """<o', o> where o' knows the levels to so many."""
    known = 2 * (levels // step).astype(np.float32) - (LEVELS // step - 1)
    return np.asarray(np.einsum("ij,ij->i", known, turned), dtype=np.float32)


def _records(planes: Sequence[Words], scales: Float32s, checksums: NDArray[np.uint32] | None = None) -> Words:
    width = planes[0].shape[1]
    records = np.zeros((len(scales), len(planes) * width + TAIL_WORDS), dtype="<u8")
    for number, plane in enumerate(planes):
        records[:, number * width : (number + 1) * width] = plane
    records[:, -TAIL_WORDS] = scales.view("<u4")
    if checksums is not None:
        records[:, -TAIL_WORDS] |= checksums.astype("<u8") << np.uint64(32)
    records[:, -1] = np.uint64(0) - records[:, :-1].sum(axis=1, dtype=np.uint64)
    return records


def _checksums(rows: Float32s) -> NDArray[np.uint32]:
    stored = rows.astype("<f2")
    return np.fromiter((zlib.crc32(row) for row in stored), dtype="<u4", count=len(stored))


def _share(lengths: NDArray[np.floating], parts: NDArray[np.floating]) -> Float32s:
    """lengths / parts, 0 where a vector lies on the mean."""
    return np.where(lengths > 1e-6, lengths / np.maximum(parts, 1e-12), 0).astype("<f4")


def _best(scores: Float32s, count: int) -> Positions:
    """Positions of the `count` highest scores, and of those equal to the last of them up to as many again."""
    if count >= len(scores):
        return np.arange(len(scores))
    edge = _at_place(scores, count)
    above = np.flatnonzero(scores > edge)
    equal = np.flatnonzero(scores == edge)[: 2 * count - len(above)]
    return np.sort(np.concatenate([above, equal]), kind="stable")  # two ascending runs, which it merges


def _reaching(scores: Float32s, best: Positions, lowest: float, most: int) -> Positions:
    """The `best` positions, or, where more scores than theirs reach `lowest`, those of about `most` of them."""
    if len(best) >= most or lowest >= scores[best].min():
        return best
    return _best(scores, min(most, int(np.count_nonzero(scores >= lowest))))


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
