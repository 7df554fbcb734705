"""Timelines: read back with OpenTimelineIO, each has the in and out points of its hits, to the frame."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import numpy as np
import opentimelineio as otio
import pytest
from video_samples import even_times, make_video, numbered_picture

from vidsearch.editing.handing_on import KINDS, hand_on
from vidsearch.editing.rates import FrameRate, frame_of, is_variable, near_standard, timecode
from vidsearch.editing.timeline import timeline_of
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.records import Hit

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)


@dataclass(frozen=True)
class Sample:
    """A source, its rate, and the number in time code of its first frame."""

    path: Path
    rate: Fraction
    zero: int
    drop: bool = False


def make_rated(path: Path, rate: Fraction, stated: str | None = None, *, sound: bool = True, count: int = 150) -> Path:
    """Pictures at an exact rate, in a QuickTime file with a time code."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = 30
        if stated:
            video.metadata["timecode"] = stated
        track = container.add_stream("aac", rate=16_000) if sound else None
        if track is not None:
            track.codec_context.layout = "mono"
        for number in range(count):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered_picture(number), format="rgb24")))
        container.mux(video.encode(None))
        if track is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16_000, 0
            container.mux(track.encode(samples))
            container.mux(track.encode(None))
    return path


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder = tmp_path_factory.mktemp("rated & <odd>")
    return {
        "pal": Sample(make_rated(folder / "pal.mov", Fraction(25), "10:00:00:00"), Fraction(25), 900_000),
        "film": Sample(make_rated(folder / "film.mov", FILM, "01:00:00:00", sound=False), FILM, 86_400),
        "drop": Sample(make_rated(folder / "drop.mov", NTSC, "01:00:00;00"), NTSC, 107_892, drop=True),
        "ntsc": Sample(make_rated(folder / "ntsc.mov", NTSC, "01:00:00:00"), NTSC, 108_000),
        "even": Sample(make_rated(folder / "even.mp4", Fraction(25)), Fraction(25), 0),
        "plain": Sample(make_rated(folder / "plain.mkv", NTSC), NTSC, 0, drop=True),
    }


def hits_of(sample: Sample) -> tuple[list[Hit], list[tuple[int, int]]]:
    """Two moments and the frames that they hold: on the edges of frames, and between them."""
    step = float(1 / sample.rate)
    moments = [(30 * step, 60 * step), (12.4 * step, 99.6 * step)]
    hits = [Hit(n, sample.path, a, b, a, 0.5, "m") for n, (a, b) in enumerate(moments, start=1)]
    return hits, [(30, 60), (12, 100)]


def ranges(timeline: Any, kind: str = "Video") -> list[tuple[int, int]]:
    """(first, behind) of each clip, in frames of its source's time code."""
    [track] = [track for track in timeline.tracks if track.kind == kind]
    found = []
    for clip in track:
        first = clip.source_range.start_time.value
        found.append((round(first), round(first + clip.source_range.duration.value)))
    return found


@pytest.mark.parametrize("name", ["pal", "film", "drop", "ntsc", "plain"])
@pytest.mark.parametrize("kind", [".otio", ".edl", ".xml"])
def test_in_and_out_points_come_back_to_the_frame(
    samples: dict[str, Sample], name: str, kind: str, tmp_path: Path
) -> None:
    sample = samples[name]
    hits, frames = hits_of(sample)
    target = tmp_path / f"cut{kind}"
    done = hand_on(hits, target)
    assert (done.events, done.remarks) == (2, ())
    adapter, rate = {".otio": "otio_json", ".edl": "cmx_3600", ".xml": "fcp_xml"}[kind], float(sample.rate)
    read = otio.adapters.read_from_file(str(target), adapter, **({"rate": rate} if kind == ".edl" else {}))
    wanted = [(sample.zero + first, sample.zero + behind) for first, behind in frames]
    if kind == ".edl" and sample.rate == NTSC and not sample.drop:
        # The adapter counts by the rate alone; the text has what the file itself states.
        assert "01:00:01:00 01:00:02:00 00:00:00:00 00:00:01:00" in target.read_text()
        assert "FCM: NON-DROP FRAME" in target.read_text()
    assert ranges(read) == wanted
    if kind == ".edl":
        [track] = [track for track in read.tracks if track.kind == "Video"]
        assert [round(track.range_of_child(clip).start_time.value) for clip in track] == [0, 30]


@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")  # the adapter's, from 3.12 on
@pytest.mark.parametrize("name", ["pal", "film", "drop", "ntsc", "plain", "even"])
def test_fcpxml_states_every_time_in_whole_frames(samples: dict[str, Sample], name: str, tmp_path: Path) -> None:
    sample = samples[name]
    hits, frames = hits_of(sample)
    hand_on(hits, tmp_path / "cut.fcpxml")
    root = ElementTree.parse(tmp_path / "cut.fcpxml").getroot()
    assert root.find("resources/asset/media-rep").get("src") == sample.path.as_uri()
    rates = [1 / seconds(it.get("frameDuration")) for it in root.iter("format")]
    assert rates == [sample.rate]
    clips = list(root.iter("asset-clip"))
    starts = [seconds(clip.get("start")) * sample.rate for clip in clips]
    lengths = [seconds(clip.get("duration")) * sample.rate for clip in clips]
    assert starts == [sample.zero + first for first, _ in frames]
    assert lengths == [behind - first for first, behind in frames]
    assert seconds(clips[1].get("offset")) * sample.rate == lengths[0]
    assert {clip.get("tcFormat") for clip in clips} == {"DF" if sample.drop else "NDF"}
    ids = {it.get("id") for it in root.find("resources")}
    assert {clip.get("ref") for clip in clips} | {clip.get("format") for clip in clips} <= ids
    if name == "even":  # the library's adapter knows whole rates alone, and rounds hours of time code down
        read = otio.adapters.read_from_file(str(tmp_path / "cut.fcpxml"), "fcpx_xml")
        found = [clip.source_range for clip in read.find_clips()]
        assert [round(it.start_time.value) for it in found] == [sample.zero + first for first, _ in frames]
        assert [round(it.duration.value) for it in found] == lengths


def seconds(text: str | None) -> Fraction:
    assert text is not None
    return Fraction(text.removesuffix("s"))


def test_two_rates_are_said_and_keep_their_own_frames(samples: dict[str, Sample], tmp_path: Path) -> None:
    hits = [*hits_of(samples["pal"])[0], hits_of(samples["film"])[0][0]]
    done = hand_on(hits, tmp_path / "cut.edl")
    assert done.remarks == (f"{samples['film'].path} has 23.976 frames a second, the timeline 25.",)
    lines = [line for line in (tmp_path / "cut.edl").read_text().splitlines() if line[:3].isdigit()]
    assert lines[2].split()[4:] == ["01:00:01:06", "01:00:02:12", "00:00:04:18", "00:00:05:24"]
    assert [line.split()[2] for line in lines] == ["AA/V", "AA/V", "V"]


def test_a_variable_rate_is_said_plainly(tmp_path: Path) -> None:
    times = [number / 25 + (0.02 if number % 3 else 0.0) for number in range(60)]
    video = make_video(tmp_path / "phone.mkv", times)
    done = hand_on([Hit(1, video, 0.5, 1.5, 1.0, 0.5, "m")], tmp_path / "cut.csv")
    assert len(done.remarks) == 1
    assert "has a variable frame rate" in done.remarks[0]
    even = make_video(tmp_path / "even.mkv", even_times(60, 25))
    assert hand_on([Hit(1, even, 0.5, 1.5, 1.0, 0.5, "m")], tmp_path / "even.csv").remarks == ()


def test_chapters_are_those_of_the_video_or_of_the_moments_in_a_row(samples: dict[str, Sample], tmp_path: Path) -> None:
    one = [Hit(7, samples["pal"].path, 3.5, 4.0, 3.7, 0.5, "m"), Hit(8, samples["pal"].path, 1.0, 2.0, 1.5, 0.5, "m")]
    hand_on(one, tmp_path / "one.vtt")
    assert (tmp_path / "one.vtt").read_text() == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n8\n\n00:00:03.500 --> 00:00:04.000\n7\n"
    )
    hand_on([one[0], Hit(9, samples["film"].path, 0, 1, 0.5, 0.5, "m")], tmp_path / "two.vtt", pad_s=0.25)
    assert (
        "00:00:00.000 --> 00:00:01.000\n7. pal\n\n00:00:01.000 --> 00:00:02.250\n9. film"
        in (tmp_path / "two.vtt").read_text()
    )


def test_a_playlist_names_files_by_address_and_a_table_has_all_times(
    samples: dict[str, Sample], tmp_path: Path
) -> None:
    hits, _ = hits_of(samples["drop"])
    hand_on(hits, tmp_path / "cut.m3u8")
    lines = (tmp_path / "cut.m3u8").read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[4] == samples["drop"].path.as_uri()
    assert "%20%26%20%3Codd%3E" in lines[4]
    hand_on(hits, tmp_path / "cut.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "cut.csv").read_text())))
    assert [(row["source_in"], row["source_out"]) for row in rows] == [
        ("01:00:01;00", "01:00:02;00"),
        ("01:00:00;12", "01:00:03;10"),
    ]
    assert rows[1]["record_in"] == "00:00:01;00"


def test_what_cannot_be_written_is_said_before_anything_is(samples: dict[str, Sample], tmp_path: Path) -> None:
    hits, _ = hits_of(samples["pal"])
    with pytest.raises(VidsearchError, match=r"cut\.avi does not end as a timeline or list does") as told:
        hand_on(hits, tmp_path / "cut.avi")
    assert len(told.value.ways) == len(KINDS)
    (tmp_path / "cut.edl").write_text("mine")
    with pytest.raises(VidsearchError, match="would be overwritten"):
        hand_on(hits, tmp_path / "cut.edl")
    assert (tmp_path / "cut.edl").read_text() == "mine"
    with pytest.raises(VidsearchError, match="999 events at most"):
        hand_on(hits * 500, tmp_path / "cut.edl", overwrite=True)
    with pytest.raises(VideoError, match="has no pictures from"):
        hand_on([Hit(1, samples["pal"].path, 60.0, 61.0, 60.5, 0.5, "m")], tmp_path / "late.edl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.edl"]


def test_a_moment_at_the_end_takes_what_is_there(samples: dict[str, Sample]) -> None:
    timeline = timeline_of([Hit(1, samples["pal"].path, 5.0, 9.0, 6.0, 0.5, "m")], "t", pad_s=0.2)
    [event] = timeline.events
    assert (event.first, event.behind) == (120, 150)


@pytest.mark.parametrize(
    ("rate", "drop"), [(NTSC, True), (NTSC, False), (Fraction(60000, 1001), True), (FILM, False), (Fraction(25), False)]
)
def test_time_code_is_that_of_the_library(rate: Fraction, drop: bool) -> None:
    own = FrameRate(rate, drop)
    for frame in [*range(0, 4000, 7), *range(1795, 1805), *range(17_980, 17_990), 107_892, 1_234_567]:
        text = timecode(frame, own)
        assert text == otio.opentime.to_timecode(otio.opentime.RationalTime(frame, float(rate)), float(rate), drop)
        assert frame_of(text, rate) == (frame, drop)


def test_rates_are_taken_for_the_standard_ones_they_stand_near() -> None:
    assert near_standard(Fraction(2997, 100)) == NTSC
    assert near_standard(Fraction(23976, 1000)) == FILM
    assert near_standard(Fraction(30)) == 30
    assert near_standard(Fraction(148, 5)) == Fraction(148, 5)
    assert is_variable([0.0, 0.04, 0.1, 0.12], Fraction(25), 0.001)
    assert not is_variable([0.0, 0.033, 0.067, 0.1, 0.133], Fraction(30), 0.001)
    assert frame_of("01:00:00:31", NTSC) is None
    assert frame_of("no time", NTSC) is None


def test_a_source_that_crashes_its_reader_is_one_error(
    samples: dict[str, Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashing.py").write_text("import os\n\ndef media_of(path, spans):\n    os._exit(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of the process
    monkeypatch.setattr("vidsearch.editing.timeline.media_of", import_module("crashing").media_of)
    target = tmp_path / "cut.edl"
    with pytest.raises(VideoError, match=r"pal\.mov made the process that cuts crash \(exit 7\)") as caught:
        hand_on(hits_of(samples["pal"])[0], target)
    assert caught.value.kind == "crashed"
    assert not target.exists()
