"""Duration → windows: the arithmetic of the defaults, of the last window and of short videos."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.records import WindowSpec
from vidsearch.video.windows import cut_windows


def test_frames_lie_in_the_middle_of_their_share() -> None:
    (first, *_) = cut_windows(0.0, 20.0, WindowSpec())
    assert first.times_s == (0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5)


def test_a_window_every_stride_and_the_last_at_the_end() -> None:
    windows = cut_windows(10.0, 18.5, WindowSpec())
    assert [(window.start_s, window.end_s) for window in windows] == [
        (10.0, 18.0),
        (14.0, 22.0),
        (18.0, 26.0),
        (20.5, 28.5),
    ]


def test_a_video_that_the_stride_divides_has_no_window_twice() -> None:
    assert [window.start_s for window in cut_windows(0.0, 16.0, WindowSpec())] == [0.0, 4.0, 8.0]
    # 720.0000000001 as the sum of many frame times: a rounding error is no window
    assert len(cut_windows(0.0, 16.0000000001, WindowSpec())) == 3


def test_neighbours_share_their_times_exactly() -> None:
    # 1/3 has no exact float: shared times must still be one number, or each frame is decoded twice
    windows = cut_windows(1 / 3, 8.0 + 4.0 * 50, WindowSpec())
    assert all(before.times_s[4:] == after.times_s[:4] for before, after in pairwise(windows))


def test_a_short_video_is_one_window_of_its_own_length() -> None:
    (window,) = cut_windows(2.0, 4.0, WindowSpec())
    assert (window.start_s, window.end_s) == (2.0, 6.0)
    assert window.times_s == tuple(2.25 + 0.5 * i for i in range(8))


def test_a_video_of_exactly_one_window() -> None:
    assert [(window.start_s, window.end_s) for window in cut_windows(0.0, 8.0, WindowSpec())] == [(0.0, 8.0)]


def test_an_hour_is_cut_without_drift() -> None:
    windows = cut_windows(0.0, 3600.0, WindowSpec())
    assert len(windows) == 899
    assert windows[-1].start_s == 3592.0
    assert windows[500].times_s[3] == 2003.5


@pytest.mark.parametrize("spec", [WindowSpec(0.0), WindowSpec(8.0, -1.0), WindowSpec(8.0, 4.0, 0)])
def test_a_spec_that_cuts_nothing_is_refused(spec: WindowSpec) -> None:
    with pytest.raises(VidsearchError, match="cannot be cut"):
        cut_windows(0.0, 10.0, spec)
