"""Codes name the nearest windows, whatever the vectors are like, and notice when they are not what was written."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.store import vector_codes
from vidsearch.store.vector_codes import Codes, DamagedCodes, Space, alike, is_balanced

ROWS = 40_000  # more than the steps hand on
WINDOWS = 100  # of each video
DIM = 100  # neither whole words nor whole bytes
KINDS = ["random", "one direction in common", "few values that count", "clustered", "walks", "shots"]


def as_stored(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16), dtype=np.float32)


def make_vectors(kind: str, rows: int = ROWS, dim: int = DIM, windows: int = WINDOWS) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((rows, dim))
    videos = rows // windows
    if kind == "one direction in common":  # as the vectors of every real model have
        vectors += 3 * rng.standard_normal(dim)
    if kind == "few values that count":
        vectors *= np.geomspace(1, 0.01, dim)
    if kind == "clustered":
        vectors = np.repeat(rng.standard_normal((videos, dim)), windows, axis=0) + 0.3 * vectors
    if kind == "walks":
        steps = 0.12 * vectors.reshape(videos, windows, dim).cumsum(axis=1)
        vectors = (rng.standard_normal((videos, 1, dim)) + steps).reshape(rows, dim)
    if kind == "shots":  # of one to nine windows, which look alike, and then of something else
        lengths = rng.integers(1, 10, rows)
        vectors = np.repeat(rng.standard_normal((rows, dim)), lengths, axis=0)[:rows] + 0.2 * vectors
    return as_stored(vectors)


def encoded(vectors: NDArray[np.float32], windows: int = WINDOWS) -> tuple[Space, Codes]:
    space = Space.around(vectors[::7].mean(axis=0))
    return space, space.encode(
        vectors, [len(part) for part in np.split(vectors, range(windows, len(vectors), windows))]
    )


def queries_near(vectors: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Near a window, and, every other one, in no direction of any."""
    rng = np.random.default_rng(1)
    near = vectors[rng.integers(0, len(vectors), count)]
    near[::2] = 0
    return as_stored(near + rng.standard_normal(near.shape) / np.sqrt(near.shape[1]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_windows_are_among_those_named(kind: str) -> None:
    vectors = make_vectors(kind)
    space, codes = encoded(vectors)
    allowed = np.random.default_rng(2).random(codes.groups) < 0.6
    some = np.repeat(allowed, np.diff(codes.starts))
    found, found_among_some = 0, 0
    for query in queries_near(vectors, 8):
        best = np.argsort(-(vectors @ query))
        found += len(set(best[:10]) & set(codes.nearest(space.rotation @ query, 300)))
        named = codes.nearest(space.rotation @ query, 300, allowed)
        assert some[named].all()
        found_among_some += len(set(best[some[best]][:10]) & set(named))
    assert min(found, found_among_some) >= 79  # of 80: recall@10 of 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_shares_and_errors_alone_lose_the_best_window_at_most_as_often_as_stated(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_codes, "AT_LEAST", 0)
    vectors = make_vectors(kind, 16_000, 512, windows=10)  # videos enough: one may be like no other by chance
    space, codes = encoded(vectors, 10)
    lost_by_groups = lost_by_windows = 0
    for query in queries_near(vectors, 60):
        turned = space.rotation @ query
        best = int(np.argmax(vectors @ query))  # 1 of 16,000, as the ten best of 160,000
        kept = codes._in_best_groups(turned, 0, None)
        assert len(kept) < 16_000 / 14  # 1 in 16 at most, in whole groups
        lost_by_groups += best not in kept
        kept = np.union1d(kept, [best])
        scores = codes._window_scores(turned, kept)
        lost_by_windows += int((scores > scores[kept == best]).sum() >= 40)
    assert lost_by_groups <= 1  # of 60: three in a thousand are expected
    assert lost_by_windows <= 1


def test_both_steps_agree_with_the_sums_that_they_stand_for() -> None:
    vectors = make_vectors("random")[:500]
    space, codes = encoded(vectors)
    turned = space.rotation @ vectors[3]
    centred = (vectors - space.mean) @ space.rotation.T
    lengths = np.linalg.norm(centred, axis=1)
    np.testing.assert_array_equal(np.diff(codes.starts), 1)

    def stood_for(bits: int, query: NDArray[np.float32]) -> NDArray[np.float64]:
        step = vector_codes.STEPS[bits] * (lengths / np.sqrt(DIM))[:, None]
        most = 2 ** (bits - 1) - 0.5
        rounded = np.clip(np.floor(centred / step) + 0.5, -most, most)
        return np.asarray((rounded @ query) * lengths**2 / (rounded * centred).sum(axis=1))

    planes = vector_codes.QueryPlanes.of(turned)
    bits = [np.unpackbits(plane.view(np.uint8), bitorder="little")[:DIM].astype(float) for plane in planes.planes]
    query = planes.step * (2 * (4 * bits[0] + 2 * bits[1] + bits[2]) - 7)
    np.testing.assert_allclose(codes._group_scores(turned), stood_for(2, query), rtol=1e-4, atol=1e-4)
    every = np.arange(500)
    np.testing.assert_allclose(codes._window_scores(turned, every), stood_for(4, turned), rtol=1e-4, atol=1e-4)
    exact = (vectors - space.mean) @ vectors[3]
    kept = vector_codes.KEPT
    # The error with codes of unit length is sqrt((1 - <o', o>^2) / <o', o>^2 / E) (RaBitQ, section 3.2).
    for scores, power_kept in (
        (codes._group_scores(turned), kept[2] * kept[3]),
        (codes._window_scores(turned, every), kept[4]),
    ):
        stated = np.sqrt((1 / power_kept - 1) / DIM)
        assert 0.8 * stated < np.sqrt(np.mean((scores - exact) ** 2)) < 1.2 * stated
    # Lengths are those of the centred vectors, which the scales tell well enough.
    stated = np.sqrt((1 / (kept[2] * kept[3]) - 1) / DIM) * lengths.mean() * np.linalg.norm(turned)
    assert codes._error(turned) == pytest.approx(3 * stated, rel=0.05)


def test_windows_that_are_alike_make_groups_within_a_video() -> None:
    directions = np.eye(DIM, dtype=np.float32)
    turned = directions[[0] * 20 + [0] * 5 + [1] * 4 + [2] + [1] * 3]
    starts, means = alike(turned, [20, 13])
    np.testing.assert_array_equal(np.diff(starts), [16, 4, 4, 1, 1, 2, 1, 1, 2, 1])
    np.testing.assert_array_equal(means[:4], directions[[0, 0, 0, 0]])
    np.testing.assert_array_equal(means[4:], directions[[1, 1, 1, 2, 1, 1]])


def test_windows_that_differ_stay_by_themselves() -> None:
    vectors = make_vectors("random")[:200]
    starts, means = alike(vectors, [100, 100])
    np.testing.assert_array_equal(starts, np.arange(201))
    np.testing.assert_array_equal(means, vectors)


def test_more_are_named_where_scores_are_equal() -> None:
    vectors = as_stored(np.ones((50, DIM)))
    space, codes = encoded(vectors)
    assert len(codes.nearest(space.rotation @ vectors[0], 10)) == 20


@pytest.mark.parametrize("byte", [0, 55, 57, 61, 66])  # levels, their filling, scale, checksum, balance
def test_a_changed_record_is_noticed(byte: int) -> None:
    vectors = make_vectors("random")[:100]
    space, codes = encoded(vectors)
    turned = space.rotation @ vectors[0]
    codes.nearest(turned, 10)
    assert is_balanced(codes.windows)
    codes.windows[31].view(np.uint8)[byte] ^= 4
    assert not is_balanced(codes.windows)
    with pytest.raises(DamagedCodes):
        codes.nearest(turned, 10)


def test_the_codes_of_some_groups_are_those_of_their_windows_alone() -> None:
    vectors = make_vectors("shots")[:400]
    space, codes = encoded(vectors)
    half = codes.of_groups(np.flatnonzero(codes.starts[:-1] >= 200))
    alone = space.encode(vectors[200:], [100, 100])
    for name in ("starts", "planes", "scales", "windows"):
        np.testing.assert_array_equal(getattr(half, name), getattr(alone, name))


def test_rows_in_several_threads_give_the_scores_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = make_vectors("random")
    space, codes = encoded(vectors)
    turned, rows = space.rotation @ vectors[0], np.arange(ROWS)

    def scores() -> list[NDArray[np.float32]]:
        return [codes._group_scores(turned), codes._window_scores(turned, rows)]

    monkeypatch.setattr(vector_codes, "cores", lambda: 1)
    alone = scores()
    monkeypatch.setattr(vector_codes, "BLOCKS_A_THREAD", 1)
    monkeypatch.setattr(vector_codes, "cores", lambda: 3)
    for one, several in zip(alone, scores(), strict=True):
        np.testing.assert_array_equal(one, several)
