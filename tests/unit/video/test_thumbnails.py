"""Pictures of moments: the right frame, from a worker process or from a cache that stays within its limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from video_samples import even_times, make_video, number_in

from vidsearch.errors import VideoError, VidsearchError
from vidsearch.video.jpeg import from_jpeg, to_jpeg
from vidsearch.video.poster import most_telling
from vidsearch.video.thumbnails import Thumbnails


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 numbered pictures of 128 × 64 at 25 a second."""
    return make_video(tmp_path_factory.mktemp("video") / "n.mp4", even_times(100, 25), width_px=128)


@pytest.fixture
def thumbnails(tmp_path: Path) -> Iterator[Thumbnails]:
    with Thumbnails(tmp_path / "pictures", jobs=2) as pictures:
        yield pictures


def test_the_frame_of_the_time_comes_in_the_size_asked_for(numbered: Path, thumbnails: Thumbnails) -> None:
    picture = from_jpeg(thumbnails.at(numbered, 2.02, side_px=64))
    assert picture.shape == (32, 64, 3)
    assert number_in(picture) == 50
    assert from_jpeg(thumbnails.at(numbered, 0.0)).shape == (64, 128, 3)  # not enlarged
    assert number_in(from_jpeg(thumbnails.at(numbered, 99.0))) == 99


def test_a_strip_comes_in_the_order_asked_for(numbered: Path, thumbnails: Thumbnails) -> None:
    numbers = [number_in(from_jpeg(data)) for data in thumbnails.strip(numbered, [3.0, 1.0, 2.0, 1.0])]
    assert numbers == [75, 25, 50, 25]


def test_a_picture_is_decoded_once(numbered: Path, tmp_path: Path) -> None:
    with Thumbnails(tmp_path) as pictures:
        first = pictures.at(numbered, 1.0), pictures.poster(numbered, 0.0, 4.0, 2.0)
        pictures.close()  # from here on nothing can be decoded
        assert (pictures.at(numbered, 1.0), pictures.poster(numbered, 0.0, 4.0, 2.0)) == first
        with pytest.raises(VidsearchError, match="were closed"):
            pictures.at(numbered, 1.5)


def test_a_file_that_changed_is_decoded_anew(tmp_path: Path, thumbnails: Thumbnails) -> None:
    video = make_video(tmp_path / "v.mp4", even_times(10, 25))
    assert number_in(from_jpeg(thumbnails.at(video, 0.0))) == 0
    make_video(tmp_path / "w.mp4", even_times(10, 25), codec="mpeg4").replace(video)
    os.utime(video, ns=(1, 1))
    before = set((tmp_path / "pictures").iterdir())
    thumbnails.at(video, 0.0)
    assert len(set((tmp_path / "pictures").iterdir()) - before) == 1


def test_threads_share_the_workers(numbered: Path, thumbnails: Thumbnails) -> None:
    times = [number / 5 for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        pictures = threads.map(lambda time: thumbnails.at(numbered, time), times)
    assert [number_in(from_jpeg(data)) for data in pictures] == [5 * number for number in range(12)]


def test_the_cache_stays_within_its_limit(numbered: Path, tmp_path: Path) -> None:
    size = len(to_jpeg(np.full((64, 128, 3), 99, np.uint8)))
    for number in range(4):  # a process each: the limit holds across them
        with Thumbnails(tmp_path, limit_bytes=3 * size) as pictures:
            pictures.at(numbered, number / 5)
    kept = [path.stat().st_size for path in tmp_path.iterdir()]
    assert 0 < sum(kept) <= 3 * size


def test_a_cache_that_cannot_be_written_is_no_error(numbered: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Thumbnails(tmp_path / "file" / "below") as pictures:
        assert number_in(from_jpeg(pictures.at(numbered, 1.0))) == 25


def test_what_cannot_be_read_says_why(tmp_path: Path, thumbnails: Thumbnails) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    for name, kind in (("text.mp4", "not-a-video"), ("gone.mp4", "vanished")):
        with pytest.raises(VideoError) as told:
            thumbnails.at(tmp_path / name, 0.0)
        assert told.value.kind == kind


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSEARCH_THUMBNAILS_MB", "many")
    with pytest.raises(VidsearchError, match="VIDSEARCH_THUMBNAILS_MB is 'many'"):
        Thumbnails(tmp_path)


def _scene(background: str, thing_at: int | None) -> NDArray[np.uint8]:
    picture = np.full((90, 160, 3), (90, 120, 160), np.uint8)
    if background == "stripes":
        picture[:, np.arange(160) // 8 % 2 == 0] = (200, 200, 120)
    if thing_at is not None:
        picture[30:60, thing_at : thing_at + 30] = (220, 30, 30)
    return picture


@pytest.mark.parametrize("background", ["plain", "stripes"])
@pytest.mark.parametrize(
    "places",
    [
        (0, 40, 80, 120, None, None, None, None),  # it leaves
        (None, None, None, None, None, None, 40, 80),  # it comes late
        (60, 60, 60, None, None, None, None, None),  # it is gone at once
        (60, 60, 60, 60, 60, None, None, None),
        (None, None, None, 20, None, None, None, None),
    ],
)
def test_the_poster_shows_the_thing_and_not_the_empty_background(
    background: str, places: tuple[int | None, ...]
) -> None:
    frames = np.stack([_scene(background, place) for place in places])
    assert places[most_telling(frames)] is not None


def test_a_fade_to_black_is_no_poster_and_equal_frames_give_the_middle() -> None:
    scene = _scene("stripes", 40)
    assert most_telling(np.stack([scene // 1, scene // 2, scene // 8, scene // 60])) == 0
    assert most_telling(np.stack([scene] * 8)) == 3
    assert most_telling(np.zeros((3, 2, 2, 3), np.uint8)) == 1
