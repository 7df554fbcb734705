"""Supercuts: the moments one after the other, pictures and sound in step, copied or encoded."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from video_samples import even_times, make_film, make_video, number_in, turn_upright

from vidsearch.editing.export import CutOptions
from vidsearch.editing.joining import Joined, Joining, join
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.records import Hit


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", sounds=1)


def hit(path: Path, start_s: float, end_s: float, number: int = 1) -> Hit:
    return Hit(number, path, start_s, end_s, (start_s + end_s) / 2, 0.5, "model")


def joined(hits: list[Hit], target: Path, mode: str, **others: object) -> Joined:
    outcomes = list(join(hits, target, CutOptions(mode, **others)))  # type: ignore[arg-type]
    assert isinstance(outcomes[0], Joining)
    assert isinstance(outcomes[-1], Joined)
    return outcomes[-1]


def shown(path: Path) -> list[tuple[int, float]]:
    """(number, time) of each picture."""
    with av.open(str(path)) as container:
        return [(number_in(frame.to_ndarray(format="rgb24")), frame.time) for frame in container.decode(video=0)]


def clicks(path: Path) -> list[float]:
    times: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()).max(axis=0) > 0.2)
            if len(loud):
                at_s = frame.time + loud[0] / frame.sample_rate
                if not times or at_s - times[-1] > 0.4:
                    times.append(at_s)
    return times


def test_encoded_moments_follow_each_other_to_the_frame(film: Path, tmp_path: Path) -> None:
    done = joined([hit(film, 2.6, 3.4), hit(film, 0.5, 1.5, 2)], tmp_path / "cut.mp4", "precise")
    frames = shown(tmp_path / "cut.mp4")
    assert [number for number, _ in frames] == [*range(65, 85), *range(12, 38)]
    assert [time for _, time in frames] == pytest.approx([number / 25 for number in range(46)], abs=0.002)
    assert (done.moments, done.lead_s) == (2, 0.0)
    assert done.length_s == pytest.approx(46 / 25)
    # The film clicks at 1 and 3 s: 0.4 s into the first moment, and 0.52 s into the second.
    assert clicks(tmp_path / "cut.mp4") == pytest.approx([0.4, 0.8 + 0.52], abs=0.07)


def test_the_full_range_of_a_source_is_brought_to_that_of_the_supercut(tmp_path: Path) -> None:
    for name, codec, pixels in (("full.avi", "mjpeg", "yuvj420p"), ("video.mkv", "libx264", "yuv420p")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), (200, 60, 30), np.uint8))))
            container.mux(stream.encode(None))
    joined([hit(tmp_path / name, 0.0, 0.2) for name in ("full.avi", "video.mkv")], tmp_path / "cut.mp4", "precise")
    with av.open(str(tmp_path / "cut.mp4")) as container:
        means = [frame.to_ndarray(format="rgb24").mean(axis=(0, 1)) for frame in container.decode(video=0)]
    assert means[0] == pytest.approx([200, 60, 30], abs=4)
    assert means[-1] == pytest.approx([200, 60, 30], abs=4)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_copied_moments_begin_at_their_key_frames(film: Path, suffix: str, tmp_path: Path) -> None:
    done = joined([hit(film, 2.6, 3.4), hit(film, 0.2, 1.2, 2)], tmp_path / f"cut.{suffix}", "copy")
    numbers = [number for number, _ in shown(tmp_path / f"cut.{suffix}")]
    second = numbers.index(0)
    assert numbers[:35] == list(range(50, 85))
    assert numbers[second : second + 30] == list(range(30))
    assert done.lead_s == pytest.approx(0.8)
    times = [time for _, time in shown(tmp_path / f"cut.{suffix}")]
    assert times == sorted(times)
    # The film clicks at 3 s, a second into the first moment, and at 1 s; a click on a cut itself may be lost.
    heard = [at_s for at_s in clicks(tmp_path / f"cut.{suffix}") if min(at_s, abs(at_s - times[second])) > 0.2]
    assert heard == pytest.approx([1.0, times[second] + 1.0], abs=0.1)


def test_sources_of_other_shapes_are_fitted_and_silence_fills_up(film: Path, tmp_path: Path) -> None:
    phone = make_video(tmp_path / "phone.mp4", even_times(50, 25), width_px=64, height_px=32, codec="mpeg4")
    hits = [hit(film, 0.0, 0.4), hit(film, 1.0, 1.4, 2), hit(phone, 0.4, 0.8, 3)]
    with pytest.raises(
        VidsearchError, match=r"phone\.mp4 is coded otherwise than .*film\.mp4; join them with --precise"
    ):
        joined(hits, tmp_path / "no.mp4", "copy")
    assert not (tmp_path / "no.mp4").exists()
    done = joined(hits, tmp_path / "cut.mov", "precise")
    with av.open(str(tmp_path / "cut.mov")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert {picture.shape for picture in pictures} == {(64, 64, 3)}
    assert len(pictures) == 30
    assert number_in(pictures[25][16:48]) == 15  # 64 x 32 between black bars
    assert pictures[25][:12].max() < 20 and pictures[25][52:].max() < 20
    assert done.length_s == pytest.approx(1.2)
    with av.open(str(tmp_path / "cut.mov")) as container:
        assert float(container.streams.audio[0].duration * container.streams.audio[0].time_base) > 1.15


def test_a_turned_source_is_upright_in_a_supercut(tmp_path: Path) -> None:
    plain = make_video(tmp_path / "plain.mp4", even_times(30, 25))
    turned = make_video(tmp_path / "turned.mp4", even_times(30, 25))
    turn_upright(turned)
    joined([hit(plain, 0.0, 0.2), hit(turned, 0.4, 0.6, 2)], tmp_path / "cut.mp4", "precise")
    with av.open(str(tmp_path / "cut.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].metadata.get("rotate") is None
    assert number_in(pictures[0]) == 0
    assert number_in(np.rot90(pictures[5])) == 10  # stored on its side, turned by 90 degrees clockwise


def test_order_sound_and_refusals(film: Path, tmp_path: Path) -> None:
    hits = [hit(film, 2.0, 2.2), hit(film, 0.4, 0.6, 2)]
    joined(hits, tmp_path / "cut.mkv", "precise", order="time", sound=False)
    assert [number for number, _ in shown(tmp_path / "cut.mkv")] == [*range(10, 15), *range(50, 55)]
    with av.open(str(tmp_path / "cut.mkv")) as container:
        assert not container.streams.audio
    with pytest.raises(VidsearchError, match="would be overwritten"):
        joined(hits, tmp_path / "cut.mkv", "precise")
    with pytest.raises(VidsearchError, match=r"is to end with \.mp4, \.mov or \.mkv"):
        joined(hits, tmp_path / "cut.avi", "precise")
    with pytest.raises(VideoError, match="has no pictures from"):
        joined([*hits, hit(film, 60.0, 61.0, 3)], tmp_path / "late.mkv", "precise")
    assert not (tmp_path / "late.mkv").exists()
