"""Codes name the nearest windows, whatever the vectors are like, and notice when they are not what was written."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.store import vector_codes
from vidsearch.store.vector_codes import DamagedCodes, Space, is_balanced

ROWS = 40_000  # more than the signs hand on
DIM = 100  # neither whole words nor whole bytes


def as_stored(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.asarray((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16), dtype=np.float32)


def make_vectors(kind: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((ROWS, DIM))
    if kind == "one direction in common":  # as the vectors of every real model have
        rows += 3 * rng.standard_normal(DIM)
    if kind == "few values that count":
        rows *= np.geomspace(1, 0.01, DIM)
    if kind == "clustered":
        rows = np.repeat(rng.standard_normal((ROWS // 100, DIM)), 100, axis=0) + 0.3 * rows
    return as_stored(rows)


@pytest.mark.parametrize("kind", ["random", "one direction in common", "few values that count", "clustered"])
def test_the_nearest_windows_are_among_those_named(kind: str) -> None:
    vectors = make_vectors(kind)
    space = Space.around(vectors[::7].mean(axis=0))
    codes = space.encode(vectors)
    rng = np.random.default_rng(1)
    queries = as_stored(vectors[rng.integers(0, ROWS, 8)] + rng.standard_normal((8, DIM)) / np.sqrt(DIM))
    some = rng.random(ROWS) < 0.6
    found, found_among_some = 0, 0
    for query in queries:
        best = np.argsort(-(vectors @ query))
        found += len(set(best[:10]) & set(codes.nearest(space.rotation @ query, 300)))
        named = codes.nearest(space.rotation @ query, 300, some)
        assert some[named].all()
        found_among_some += len(set(best[some[best]][:10]) & set(named))
    assert min(found, found_among_some) >= 79  # of 80: recall@10 of 0.99


def test_the_two_steps_agree_with_the_sums_that_they_stand_for() -> None:
    vectors = make_vectors("random")[:500]
    space = Space.around(vectors.mean(axis=0))
    codes = space.encode(vectors)
    turned = space.rotation @ vectors[3]
    centred = (vectors - space.mean) @ space.rotation.T
    signs = np.where(centred >= 0, 1.0, -1.0)
    planes = vector_codes.query_planes(turned)
    bits = [np.unpackbits(plane.view(np.uint8), bitorder="little")[:DIM].astype(float) for plane in planes]
    coarse = 2 * (bits[0] + 2 * bits[1]) - 3
    rough = (signs @ coarse) * np.linalg.norm(centred, axis=1) ** 2 / np.abs(centred).sum(axis=1)
    np.testing.assert_allclose(codes._rough_scores(turned), rough, rtol=1e-4, atol=1e-3)
    fine = codes._fine_scores(turned, np.arange(500))
    errors = fine - (vectors - space.mean) @ vectors[3]
    assert np.sqrt(np.mean(errors**2)) < 0.11 / np.sqrt(DIM)  # 16 uniform levels lose 0.0115 of a normal value's power


def test_more_are_named_where_scores_are_equal() -> None:
    vectors = as_stored(np.ones((50, DIM)))
    space = Space.around(vectors.mean(axis=0))
    assert len(space.encode(vectors).nearest(space.rotation @ vectors[0], 10)) == 20


@pytest.mark.parametrize("byte", [0, 17, 55, 60, 71])  # levels, scale, checksum, balance
def test_a_changed_record_is_noticed(byte: int) -> None:
    vectors = make_vectors("random")[:100]
    space = Space.around(vectors.mean(axis=0))
    codes = space.encode(vectors)
    assert is_balanced(codes.records)
    codes.records[31, byte] ^= 4
    assert not is_balanced(codes.records)
    with pytest.raises(DamagedCodes):
        codes.nearest(space.rotation @ vectors[0], 10)


def test_rows_in_several_threads_give_the_scores_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = make_vectors("random")
    space = Space.around(vectors.mean(axis=0))
    codes = space.encode(vectors)
    turned = space.rotation @ vectors[0]
    alone = codes._rough_scores(turned), codes._fine_scores(turned, np.arange(ROWS))
    monkeypatch.setattr(vector_codes, "ROWS_A_THREAD", 1000)
    monkeypatch.setattr(vector_codes, "cores", lambda: 3)
    together = codes._rough_scores(turned), codes._fine_scores(turned, np.arange(ROWS))
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_allclose(alone[1], together[1], atol=1e-5)
