"""Vectors as short codes, and the windows that are nearest by them: candidates for an exact score, never a score.

Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest
Neighbor Search" (arXiv 2405.12497), section 3: vectors are centred and turned by a random rotation; the signs of the
turned values are the code o', and <o', q> / <o', o> estimates the cosine <o, q> with an error that depends on the
number of values alone, not on the vectors. Gao et al. (arXiv 2409.09913) do the same with several bits a value.

A search has two steps. In every row the signs, one bit a value, are compared with a query of two bits a value: XOR and
counted bits, 64 values at a time. The best sixteenth is estimated again, from levels of four bits a value and the query
as it is. Axes: E values of a vector, n rows, W = E / 64 words of signs, H bytes of levels.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidsearch.frozen import dataclass
from vidsearch.machine import cores

SEED = 20
BITS_A_WORD = 64
LEVELS = 16
# The uniform step, in standard deviations, that loses least of normal values at 16 levels (Max, 1960).
STEP = 0.335
QUERY_BITS = 2
QUERY_RANGE = 1.5  # the outermost of its four levels, in standard deviations: (Max, 1960) again
# Rows that the signs hand on: 1 in 16. On vectors without any structure, the hardest for a code, these hold 0.996 of
# the ten best of a million by the error of the estimate (docs/search.md has what was measured). The least number is
# what the same share takes in smaller libraries.
KEPT_SHARE = 16
LEAST_KEPT = 16384
BLOCK = 8192  # rows whose words lie in the processor's cache together
FINE_BLOCK = 1024
ROWS_A_THREAD = 65536  # below, another thread costs more than it gives
TAIL_BYTES = 16  # of a record: scale, checksum, balance

Float32s = NDArray[np.float32]
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

    def encode(self, rows: Float32s) -> Codes:
        """(n, E), float16 values → their codes."""
        centred = (rows - self.mean) @ self.rotation.T
        lengths = np.linalg.norm(centred, axis=1)
        turned = centred / np.maximum(lengths, 1e-12)[:, None]
        dim = turned.shape[1]
        levels = np.clip(np.floor(turned * (np.sqrt(dim) / STEP)) + LEVELS // 2, 0, LEVELS - 1).astype(np.uint8)
        likeness = np.einsum("ij,ij->i", 2.0 * levels - (LEVELS - 1), turned)  # <o', o>
        return Codes(
            dim,
            sign_words(levels >= LEVELS // 2),
            _share(lengths, np.abs(turned).sum(axis=1)),
            _records(_packed(levels), _share(lengths, likeness), _checksums(rows)),
        )


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes of n vectors of `dim` values.

    signs: (W, n) uint64. sign_scales: (n,), length / <o', o>. records: (n, H + 16) bytes, a row's levels, the scale of
    these, the CRC-32 of the vector as it is stored, and a word that brings the sum of the record's words to zero.
    """

    dim: int
    signs: NDArray[np.uint64]
    sign_scales: Float32s
    records: NDArray[np.uint8]

    @property
    def count(self) -> int:
        return len(self.sign_scales)

    def vector_checksums(self, positions: Positions) -> list[int]:
        """CRC-32 of the float16 rows at these positions."""
        tails = np.ascontiguousarray(self.records[positions, -TAIL_BYTES:])
        return tails.view("<u4")[:, 1].tolist()

    def nearest(self, turned: Float32s, count: int, allowed: NDArray[np.bool_] | None = None) -> Positions:
        """About the `count` rows nearest to a rotated query (E,), in ascending order of position.

        `allowed`: (n,), the only rows to look at. Raises DamagedCodes.
        """
        rows = self.count if allowed is None else int(np.count_nonzero(allowed))
        keep = max(LEAST_KEPT, rows // KEPT_SHARE, 4 * count)
        if rows > keep:
            rough = self._rough_scores(turned)
            if allowed is None:
                kept = _best(rough, keep)
            else:  # of these alone: a partition is slow among many equal scores
                searched = np.flatnonzero(allowed)
                kept = searched[_best(rough[searched], keep)]
        else:
            kept = np.arange(self.count) if allowed is None else np.flatnonzero(allowed)
        return kept[_best(self._fine_scores(turned, kept), count)]

    def _rough_scores(self, turned: Float32s) -> Float32s:
        """(n,): what signs and a coarse query say, up to a constant."""
        planes = query_planes(turned)
        scores = np.empty(self.count, dtype=np.float32)

        def work(first: int, end: int) -> None:
            words = np.empty(BLOCK, dtype=np.uint64)
            counts, some = np.empty(BLOCK, dtype=np.uint8), np.empty(BLOCK, dtype=np.uint8)
            for start in range(first, end, BLOCK):
                block = slice(start, min(start + BLOCK, end))
                differing = _differing(self.signs[:, block], planes, words, counts, some)
                # <o', q> = sum over planes 2^j (E - 2 * differing bits), in units of the query's step
                ahead = np.float32(self.dim * (2**QUERY_BITS - 1)) - 2 * differing.astype(np.float32)
                np.multiply(ahead, self.sign_scales[block], out=scores[block])

        _in_threads(work, self.count, BLOCK)
        return scores

    def _fine_scores(self, turned: Float32s, positions: Positions) -> Float32s:
        """(len(positions),): what the levels say, up to a constant."""
        half = self.records.shape[1] - TAIL_BYTES
        query = np.zeros(2 * half, dtype=np.float32)
        query[: self.dim] = turned
        total = np.float32((LEVELS - 1) * query.sum())
        scores = np.empty(len(positions), dtype=np.float32)
        damaged: list[int] = []

        def work(first: int, end: int) -> None:
            for start in range(first, end, FINE_BLOCK):
                block = slice(start, min(start + FINE_BLOCK, end))
                records = self.records.take(positions[block], axis=0)
                if not is_balanced(records):
                    damaged.append(start)
                    return
                levels = records[:, :half]
                products = (levels & 15).astype(np.float32) @ query[:half]
                products += (levels >> 4).astype(np.float32) @ query[half:]
                scales = np.ascontiguousarray(records[:, -TAIL_BYTES:]).view("<f4")[:, 0]
                np.multiply(2 * products - total, scales, out=scores[block])

        _in_threads(work, len(positions), FINE_BLOCK)
        if damaged:
            raise DamagedCodes
        return scores


def record_bytes(dim: int) -> int:
    """The length of a record: two levels a byte in whole words, and the tail."""
    return -(-dim // 16) * 8 + TAIL_BYTES


def sign_words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """(n, E) → (W, n), the last word filled with zeros."""
    missing = -bits.shape[1] % BITS_A_WORD
    filled = np.pad(bits, ((0, 0), (0, missing))) if missing else bits
    return np.ascontiguousarray(np.packbits(filled, axis=1, bitorder="little").view("<u8").T)


def query_planes(turned: Float32s) -> list[NDArray[np.uint64]]:
    """A query at two bits a value, as bit planes (W,) each: value = step * (2 * (b0 + 2 b1) - 3)."""
    highest = 2**QUERY_BITS - 1
    spread = max(float(np.linalg.norm(turned)) / np.sqrt(len(turned)), 1e-30)
    step = QUERY_RANGE * spread / highest
    levels = np.clip(np.floor(turned / (2 * step)) + 2 ** (QUERY_BITS - 1), 0, highest).astype(np.uint8)
    return [sign_words(((levels >> bit) & 1).astype(bool)[None])[:, 0] for bit in range(QUERY_BITS)]


def is_balanced(records: NDArray[np.uint8]) -> bool:
    """Whether records are what was written: their words sum to zero."""
    return int(np.add.reduce(np.ascontiguousarray(records).view("<u8"), axis=None)) == 0


def _differing(
    signs: NDArray[np.uint64],
    planes: list[NDArray[np.uint64]],
    words: NDArray[np.uint64],
    counts: NDArray[np.uint8],
    some: NDArray[np.uint8],
) -> NDArray[np.uint16]:
    """(W, m) signs → (m,): bits that differ from each plane of the query, weighted 2^plane. The rest is work space."""
    length = signs.shape[1]
    words, counts, some = words[:length], counts[:length], some[:length]
    total = np.zeros(length, dtype=np.uint16)
    for bit, plane in enumerate(planes):
        for first in range(0, len(signs), 3):  # three words have 192 bits, which a byte can count
            np.bitwise_count(np.bitwise_xor(signs[first], plane[first], out=words), out=some)
            for word in range(first + 1, min(first + 3, len(signs))):
                np.bitwise_count(np.bitwise_xor(signs[word], plane[word], out=words), out=counts)
                np.add(some, counts, out=some)
            np.add(total, some if bit == 0 else some.astype(np.uint16) << bit, out=total)
    return total


def _packed(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, E) levels → (n, H): the first half of the values in the low four bits, the second in the high ones."""
    half = record_bytes(levels.shape[1]) - TAIL_BYTES
    filled = np.pad(levels, ((0, 0), (0, 2 * half - levels.shape[1])))
    return np.asarray(filled[:, :half] | (filled[:, half:] << 4), dtype=np.uint8)


def _records(levels: NDArray[np.uint8], scales: Float32s, checksums: NDArray[np.uint32]) -> NDArray[np.uint8]:
    records = np.zeros((len(levels), levels.shape[1] + TAIL_BYTES), dtype=np.uint8)
    words = records.view("<u8")
    records[:, :-TAIL_BYTES] = levels
    tails = records[:, -TAIL_BYTES:].view("<u4")
    tails[:, 0] = scales.view("<u4")
    tails[:, 1] = checksums
    words[:, -1] = np.uint64(0) - words[:, :-1].sum(axis=1, dtype=np.uint64)
    return records


def _checksums(rows: Float32s) -> NDArray[np.uint32]:
    stored = rows.astype("<f2")
    return np.fromiter((zlib.crc32(row) for row in stored), dtype="<u4", count=len(stored))


def _share(lengths: Float32s, parts: NDArray[np.floating]) -> Float32s:
    """lengths / parts, 0 where a vector lies on the mean."""
    return np.where(lengths > 1e-6, lengths / np.maximum(parts, 1e-12), 0).astype("<f4")


def _best(scores: Float32s, count: int) -> Positions:
    """Positions of the `count` highest scores, and of those equal to the last of them up to as many again."""
    possible = int(np.count_nonzero(scores > -np.inf))
    if count >= possible:
        return np.flatnonzero(scores > -np.inf)
    edge = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > edge)
    equal = np.flatnonzero(scores == edge)[: 2 * count - len(above)]
    return np.sort(np.concatenate([above, equal]), kind="stable")  # two ascending runs, which it merges


def _in_threads(work: Callable[[int, int], None], count: int, block: int) -> None:
    """work(first, end) over all rows, in as many threads as there are cores and rows for; numpy lets go of the GIL."""
    threads = max(1, min(cores(), count // ROWS_A_THREAD if block == BLOCK else count // (16 * block)))
    edges = [count * part // threads // block * block for part in range(threads)] + [count]
    errors: list[BaseException] = []

    def guarded(first: int, end: int) -> None:
        try:
            work(first, end)
        except BaseException as error:
            errors.append(error)

    mine, *parts = itertools.pairwise(edges)
    others = [threading.Thread(target=guarded, args=part) for part in parts]
    for thread in others:
        thread.start()
    guarded(*mine)
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
