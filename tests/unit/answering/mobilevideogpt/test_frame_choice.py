"""Which frames of a range are looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidsearch.answering.interface import TimeRange
from vidsearch.answering.mobilevideogpt.frame_choice import choose_frames, outside, spread_frames
from vidsearch.models.mobilevideogpt.frame_sampling import sample_frames
from vidsearch.records import ClipWindow, VideoFacts

TEN_SECONDS = VideoFacts(0.0, 10.0, 25.0, 250, 64, 64, "h264", "mov", 0, "decord")
STARTS = np.arange(250) / 25


def times(windows: list[ClipWindow]) -> list[float]:
    return [time for window in windows for time in window.times_s]


@pytest.mark.parametrize(("frames", "fps"), [(250, 25.0), (3000, 29.97), (7, 25.0), (1, 25.0), (30, 0.4)])
def test_a_whole_file_is_sampled_as_the_reference_does(frames: int, fps: float) -> None:
    starts = 2.0 + np.arange(frames) / fps
    facts = replace(TEN_SECONDS, start_s=2.0, picture_s=frames / fps, fps=fps, frames=frames)
    chosen = choose_frames(TimeRange(), "reference", facts, starts)
    assert times(chosen) == [starts[number] for number in sample_frames(frames, fps)]
    assert {(window.start_s, window.end_s) for window in chosen} == {(2.0, 2.0 + frames / fps)}


def test_a_range_is_sampled_like_a_file_of_its_own() -> None:
    chosen = choose_frames(TimeRange(2.0, 6.0), "reference", TEN_SECONDS, STARTS)
    assert times(chosen) == [STARTS[50 + number] for number in sample_frames(100, 25.0)]
    assert (chosen[0].start_s, chosen[0].end_s) == (2.0, 6.0)


def test_a_range_begins_with_the_frame_that_is_shown_then() -> None:
    assert times(choose_frames(TimeRange(2.03, 2.05), "reference", TEN_SECONDS, STARTS)) == [2.0, 2.04]
    assert times(choose_frames(TimeRange(2.01, 2.02), "reference", TEN_SECONDS, STARTS)) == [2.0]
    assert times(choose_frames(TimeRange(2.0, 2.04), "reference", TEN_SECONDS, STARTS)) == [2.0]


def test_a_range_over_the_edges_is_the_part_that_the_clip_has() -> None:
    chosen = choose_frames(TimeRange(-5.0, 60.0), "reference", TEN_SECONDS, STARTS)
    assert (chosen[0].start_s, chosen[0].end_s) == (0.0, 10.0)
    assert times(chosen) == times(choose_frames(TimeRange(), "reference", TEN_SECONDS, STARTS))


@pytest.mark.parametrize("wanted", [TimeRange(10.0, 12.0), TimeRange(11.0), TimeRange(None, 0.0)])
def test_a_range_outside_the_clip_has_no_frames(wanted: TimeRange) -> None:
    assert choose_frames(wanted, "reference", TEN_SECONDS, STARTS) == []


def test_the_message_says_what_the_clip_has() -> None:
    error = outside(TimeRange(70.0, 80.0), TEN_SECONDS, Path("a.mp4"))
    assert str(error) == (
        "The range 01:10.0-01:20.0 lies outside a.mp4, which goes from 00:00.0 to 00:10.0; give a range within it."
    )


def test_variable_rate_is_followed_by_time() -> None:
    """A second of 100 frames, then one frame a second: numbers are those of frames, times those of the file."""
    starts = np.concatenate([np.arange(100) / 100, np.arange(1.0, 41.0)])
    facts = replace(TEN_SECONDS, picture_s=41.0, fps=140 / 41, frames=140)
    chosen = times(choose_frames(TimeRange(), "reference", facts, starts))
    assert chosen == [starts[number] for number in sample_frames(140, 140 / 41)]
    later = times(choose_frames(TimeRange(1.0, 41.0), "full", facts, starts))
    assert later == [starts[100 + int((share + 0.5) * 2.5)] for share in range(16)]


def test_full_coverage_leaves_out_neither_end() -> None:
    assert spread_frames(160, 25.0) == [5 + 10 * share for share in range(16)]
    assert spread_frames(16, 25.0) == list(range(16))
    assert spread_frames(3, 25.0) == [0, 1, 2]
    short = replace(TEN_SECONDS, picture_s=1.2, frames=30)
    reference = times(choose_frames(TimeRange(), "reference", short, STARTS[:30]))
    full = times(choose_frames(TimeRange(), "full", short, STARTS[:30]))
    assert reference[-1] == STARTS[15]  # the reference never sees the second half
    assert full[-1] == STARTS[29]
