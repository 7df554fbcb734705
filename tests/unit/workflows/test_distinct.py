"""Moments that show the same footage count once; other footage of the same things does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEmbedder
from numpy.typing import NDArray

from vidsearch.records import ClipWindow, IndexedVideo, Query, Term, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.video.grey import grey_picture
from vidsearch.workflows.duplicates import find_duplicates
from vidsearch.workflows.query import find_moments
from vidsearch.workflows.sameness import Footage, likeness

RED, GREEN, BLUE = np.eye(3)
RANDOM = np.random.default_rng(5)


def footage(windows: int) -> NDArray[np.uint8]:
    return RANDOM.integers(0, 256, (windows, 8, 8)).astype(np.uint8)


def put(
    library: Library,
    name: str,
    pictures: NDArray[np.uint8] | None,
    colour: NDArray[np.float64] = RED,
    count: int = 1,
    content: str = "",
) -> None:
    count = count if pictures is None else len(pictures)
    windows = tuple(ClipWindow(4.0 * i, 4.0 * i + 8, (4.0 * i,)) for i in range(count))
    facts = VideoFacts(0.0, 4.0 * count + 4, 10.0, 100, 64, 64, "h264", "mov", 0, "decord")
    vectors = np.repeat(colour[np.newaxis], count, axis=0) + RANDOM.normal(0, 0.01, (count, 3))
    file = VideoFile(Path(f"/v/{name}"), 1000 + count, 1)
    spec = WindowSpec(8.0, 4.0, 8)
    library.record_indexed(
        IndexedVideo(
            file, content or f"content of {name}", facts, windows, vectors, ColourEmbedder.model, spec, pictures
        )
    )


@pytest.fixture
def library(own_home: Path) -> Iterator[Library]:
    with Library.open(own_home) as opened:
        yield opened


def found(library: Library, **shown: object) -> list[tuple[str, int]]:
    query = Query((Term("red"),), **shown)  # type: ignore[arg-type]
    return sorted((hit.path.name, hit.more) for hit in find_moments(library, ColourEmbedder(), query))


def noisy(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As an encoder leaves them."""
    return np.clip(pictures + RANDOM.normal(0, 3, pictures.shape), 0, 255).astype(np.uint8)


def test_the_same_footage_in_two_files_is_one_hit_that_says_so(library: Library) -> None:
    original = footage(1)
    put(library, "original.mp4", original)
    put(library, "copy.mp4", noisy(original))
    put(library, "other.mp4", footage(1))
    hits = found(library)
    assert len(hits) == 2 and sum(more for _, more in hits) == 1
    assert ("other.mp4", 0) in hits
    assert found(library, duplicates=True) == [("copy.mp4", 0), ("original.mp4", 0), ("other.mp4", 0)]


def test_files_with_the_same_bytes_are_one_hit_that_says_so_or_listed_each(library: Library) -> None:
    original = footage(2)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        put(library, name, original, content="the same")
    [(_, more)] = found(library)
    assert more == 2
    assert found(library, duplicates=True) == [("a.mp4", 0), ("b.mp4", 0), ("c.mp4", 0)]
    for name in ("a.mp4", "b.mp4", "c.mp4"):  # of an earlier version, without pictures
        put(library, name, None, count=2, content="the same")
    assert [more for _, more in found(library)] == [2]


def test_a_mirrored_copy_is_other_footage(library: Library) -> None:
    original = footage(1)
    put(library, "original.mp4", original)
    put(library, "mirrored.mp4", original[:, :, ::-1])
    assert found(library) == [("mirrored.mp4", 0), ("original.mp4", 0)]


def test_videos_of_an_earlier_version_without_pictures_all_count(library: Library) -> None:
    put(library, "a.mp4", None)
    put(library, "b.mp4", None)
    assert found(library) == [("a.mp4", 0), ("b.mp4", 0)]


def duplicates(library: Library, **place: Path) -> list[list[tuple[str, bool, float]]]:
    *_, groups = find_duplicates(library, ColourEmbedder.model, **place)
    assert isinstance(groups, list)
    return [[(file.entry.path.name, file.same_bytes, file.share) for file in group] for group in groups]


def test_files_that_show_the_same_are_groups(library: Library) -> None:
    film, other = footage(12), footage(12)
    put(library, "film.mp4", film)
    put(library, "trimmed.mp4", noisy(film[3:9]))
    put(library, "reversed.mp4", noisy(film[::-1]))
    put(library, "mirrored.mp4", film[:, :, ::-1])
    put(library, "other.mp4", other)
    assert duplicates(library) == [[("film.mp4", False, 1.0), ("trimmed.mp4", False, 1.0)]]
    assert duplicates(library, under=Path("/v/other.mp4")) == []


def test_a_film_that_shares_little_with_another_is_not_its_duplicate(library: Library) -> None:
    film = footage(10)
    put(library, "film.mp4", film)
    put(library, "remix.mp4", np.concatenate([film[:4], footage(6)]))
    assert duplicates(library) == []


def test_the_picture_of_a_window_is_the_mean_of_its_cells() -> None:
    frames = np.zeros((2, 256, 128, 3), dtype=np.uint8)
    frames[:, :32, :16] = 200
    frames[0, -32:, -16:] = 100
    picture = grey_picture(frames)
    assert picture.shape == (8, 8) and picture.dtype == np.uint8
    assert (picture[0, 0], picture[7, 7], int(picture.sum())) == (200, 50, 250)


def test_a_library_of_one_scene_is_not_searched_to_its_end(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = footage(1)
    for number in range(450):
        put(library, f"{number:03}.mp4", noisy(scene))
    limits: list[int] = []
    search = library.search

    def counted(*given: object, limit: int, **more: object) -> object:
        limits.append(limit)
        return search(*given, limit=limit, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(library, "search", counted)
    assert [more for _, more in found(library)] == [29]  # of the thirty that are looked at for ten hits
    assert limits == [400]


def test_likeness_is_the_cosine_of_vectors_and_the_correlation_of_pictures() -> None:
    one, other = (Footage(RANDOM.normal(size=(n, 5)).astype(np.float32), footage(n)) for n in (4, 6))
    found = likeness(one, other)
    for row in range(4):
        for column in range(6):
            assert found.cosine[row, column] == pytest.approx(one.vectors[row] @ other.vectors[column], abs=1e-5)
            for measured, picture in (
                (found.pictures, other.pictures[column]),
                (found.mirrored, other.pictures[column, :, ::-1]),
            ):
                expected = np.corrcoef(one.pictures[row].ravel(), picture.ravel())[0, 1]
                assert measured[row, column] == pytest.approx(expected, abs=1e-12)


def test_pictures_without_contrast_are_alike_if_they_are_as_bright() -> None:
    vectors = np.ones((4, 1), dtype=np.float32)
    pictures = np.full((4, 8, 8), 100, dtype=np.uint8)
    pictures[1] += 7
    pictures[2] += 8
    pictures[3, :, ::2] += 4  # a little contrast: neither flat nor like what is
    found = likeness(Footage(vectors, pictures), Footage(vectors, pictures))
    assert found.pictures[0].tolist() == [1, 1, 0, 0]
    assert found.pictures[3, 3] == pytest.approx(1)


def test_a_picture_that_is_its_own_mirror_image_is_the_same_footage() -> None:
    half = footage(20)[:, :, :4]
    pictures = np.concatenate([half, half[:, :, ::-1]], axis=2)
    noise = noisy(pictures)
    vectors = np.ones((20, 1), dtype=np.float32)
    symmetric = likeness(Footage(vectors, noise), Footage(vectors, pictures)).is_same
    assert symmetric.diagonal().all()
    assert likeness(Footage(vectors, pictures), Footage(vectors, noise)).is_same.diagonal().all()


def test_likeness_to_the_mirrored_picture_is_that_to_a_picture_that_was_mirrored_before() -> None:
    vectors = np.zeros((40, 3), np.float32)
    some, others = footage(40), footage(40)
    others[::5] = others[::5, :1, :1]  # without contrast
    found = likeness(Footage(vectors, some), Footage(vectors, others))
    mirrored = likeness(Footage(vectors, some), Footage(vectors, others[:, :, ::-1]))
    assert (found.mirrored == mirrored.pictures).all() and (found.pictures == mirrored.mirrored).all()
