"""Windows that follow cuts: they begin where pictures change, cover every picture once, and cross no hole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from video_samples import even_times, make_cut_video, make_video

from vidsearch.errors import VidsearchError
from vidsearch.records import ClipFrames, FrameSpec, VideoFile, WindowSpec
from vidsearch.video import reader as readers
from vidsearch.video.pool import DecodePool, VideoOpened, WindowDecoded
from vidsearch.video.reader import open_reader, read_windows
from vidsearch.video.shots import SeesCut, open_detector, shot_windows

SHOTS = WindowSpec(8.0, 8.0, 8, "shots")
FPS = 25


class FakeReader:
    """Grey pictures as bright as `levels` say, at the times of `starts_s`. What is None cannot be decoded soundly."""

    path = Path("/videos/fake.mp4")

    def __init__(self, starts_s: Sequence[float], levels: Sequence[int | None]) -> None:
        self.starts_s = np.asarray(starts_s, dtype=np.float64)
        self.facts = SimpleNamespace(start_s=starts_s[0], picture_s=starts_s[-1] + 1 / FPS - starts_s[0])
        self._levels = levels
        self.asked: list[float] = []

    def pictures_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        self.asked = list(times_s)
        sound = (0.0, np.zeros((4, 4, 3), np.uint8))
        for time in times_s:
            place = int(np.searchsorted(self.starts_s, time + 1e-6)) - 1
            level = self._levels[place]
            if level is not None:
                sound = (float(self.starts_s[place]), np.full((4, 4, 3), level, np.uint8))
            yield sound


def jumps() -> SeesCut:
    """A detector that needs no package: the picture is brighter or darker by 50."""
    before: list[float] = []

    def sees_cut(picture: NDArray[np.uint8]) -> bool:
        before.append(float(picture.mean()))
        return len(before) > 1 and abs(before[-1] - before[-2]) > 50

    return sees_cut


def windows_of(reader: FakeReader, spec: WindowSpec = SHOTS) -> list[ClipFrames]:
    return [clip for clip, _ in shot_windows(reader, spec, jumps())]  # type: ignore[arg-type]


def spans(clips: Sequence[ClipFrames]) -> list[tuple[float, float]]:
    return [(clip.window.start_s, clip.window.end_s) for clip in clips]


def scenes(*lengths_s: float) -> FakeReader:
    """Scenes of such lengths, dark and bright in turn."""
    levels = [
        40 if number % 2 else 200 for number, length_s in enumerate(lengths_s) for _ in range(round(FPS * length_s))
    ]
    return FakeReader(even_times(len(levels), FPS), levels)


@pytest.mark.parametrize(
    ("lengths_s", "expected"),
    [
        ((5, 3), [(0, 5), (5, 8)]),
        ((20,), [(0, 8), (8, 16), (16, 20)]),
        ((17.6, 4), [(0, 8), (8, 17.6), (17.6, 21.6)]),  # what is left of a long shot is less than 2 s
        ((8, 16), [(0, 8), (8, 16), (16, 24)]),
        ((3, 0.4, 0.4, 3), [(0, 3), (3, 6.8)]),  # cuts that come too soon after one that is followed
        ((0.4, 5), [(0, 5.4)]),
        ((1,), [(0, 1)]),
    ],
)
def test_a_window_is_a_shot_or_a_part_of_one(lengths_s: tuple[float, ...], expected: list[tuple[float, float]]) -> None:
    found = spans(windows_of(scenes(*lengths_s)))
    assert found == [pytest.approx(span, abs=1e-6) for span in expected]


def test_frames_are_those_shown_at_the_times_of_a_window() -> None:
    levels = [number % 250 for number in range(9 * FPS)]
    reader = FakeReader(even_times(len(levels), FPS), levels)
    [clip] = [clip for clip, _ in shot_windows(reader, SHOTS, lambda picture: False)]  # type: ignore[arg-type]
    assert clip.window.times_s == pytest.approx([(place + 0.5) * 9 / 8 for place in range(8)], abs=1e-6)
    for frame, time in zip(clip.frames, clip.window.times_s, strict=True):
        assert levels.index(frame[0, 0, 0], int(time * FPS) - 2) == pytest.approx(time * FPS, abs=1.5)


def test_a_hole_ends_a_shot() -> None:
    times = [*even_times(4 * FPS, FPS), *even_times(4 * FPS, FPS, start_s=100.0)]
    found = spans(windows_of(FakeReader(times, [100] * len(times))))
    assert found == [pytest.approx((0, 4)), pytest.approx((100, 104))]


def test_a_window_exists_only_where_pictures_were_decoded() -> None:
    """From 6 s to 26 s nothing can be decoded soundly, and there is no hole in the times."""
    times = even_times(30 * FPS, FPS)
    reader = FakeReader(times, [100 if time < 6 or time >= 26 else None for time in times])
    own = readers._own(shot_windows(reader, SHOTS, jumps()), reader)  # type: ignore[arg-type]
    assert spans(list(own)) == [pytest.approx(span) for span in [(0, 8), (24, 30)]]


def test_a_shot_ends_after_its_last_picture_whatever_was_said_of_the_length() -> None:
    reader = scenes(3, 3)
    reader.facts.picture_s = 2.0
    found = spans(windows_of(reader))
    assert [start_s for start_s, _ in found] == pytest.approx([0, 3])
    assert all(start_s < end_s for start_s, end_s in found)


def test_so_many_pictures_are_asked_for_and_never_the_last_two() -> None:
    """decord would open a second reader for these; and of 100 pictures a second every fourth is enough."""
    reader = FakeReader(even_times(1000, 100.0), [100] * 1000)
    windows_of(reader)
    assert reader.asked == pytest.approx([0.04 * place for place in range(250)])
    slow = FakeReader(even_times(6, 0.5), [100] * 6)
    windows_of(slow)
    assert slow.asked == [0, 2, 4, 6, 8, 10]


def test_a_spec_that_cuts_nothing_is_refused() -> None:
    with pytest.raises(VidsearchError, match="cannot be cut"):
        windows_of(scenes(3), WindowSpec(8.0, 8.0, 0, "shots"))


CUTS_S = (0.0, 3.2, 9.0, 11.48, 31.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes with grain in which the camera moves, cut at `CUTS_S`."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return make_cut_video(path, np.diff(CUTS_S).tolist(), fps=FPS)


@pytest.mark.needs_scenedetect
def test_the_detector_finds_the_cuts_of_a_film_to_the_picture(film: Path) -> None:
    with open_reader(film, FrameSpec(64)) as reader:
        found = spans([clip for clip, _ in shot_windows(reader, SHOTS, open_detector())])
    assert [start_s for start_s, _ in found] == pytest.approx([0, 3.2, 9.0, 11.48, 19.48, 27.48], abs=1e-3)
    assert [end_s for _, end_s in found] == pytest.approx([3.2, 9.0, 11.48, 19.48, 27.48, 31.0], abs=1e-3)


@pytest.mark.needs_scenedetect
def test_a_worker_sends_the_windows_that_this_process_reads(film: Path) -> None:
    status = film.stat()
    with (
        DecodePool(1, FrameSpec(64), SHOTS) as pool,
        closing(pool.decode([VideoFile(film, status.st_size, status.st_mtime_ns)])) as events,
    ):
        sent = list(events)
    with open_reader(film, FrameSpec(64)) as reader:
        own = list(read_windows(reader, SHOTS))
    assert isinstance(sent[0], VideoOpened) and sent[0].windows == 4  # as if there were no cut
    clips = [event.clip for event in sent if isinstance(event, WindowDecoded)]
    assert spans(clips) == spans(own) and len(clips) == 6
    for clip, other in zip(clips, own, strict=True):
        np.testing.assert_array_equal(clip.frames, other.frames)


def test_the_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidsearch.extras.installed", lambda package: package != "scenedetect")
    said = r"needs the package scenedetect, which is not installed; .* pip install 'vidsearch\[shots\]'"
    with pytest.raises(VidsearchError, match=said):
        DecodePool(1, FrameSpec(64), SHOTS)


def test_a_hole_in_a_real_file_ends_a_shot(tmp_path: Path) -> None:
    times = [*even_times(30, 10), *even_times(30, 10, start_s=60.0)]
    path = make_video(tmp_path / "hole.mkv", times)
    with open_reader(path, FrameSpec(32)) as reader:
        found = spans([clip for clip, _ in shot_windows(reader, SHOTS, lambda picture: False)])
    assert found == [pytest.approx((0, 3.0), abs=0.11), pytest.approx((60, 63.0), abs=1.0)]
