"""Times as people read them."""

from __future__ import annotations

import pytest

from vidsearch.timecode import clock, earlier


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "00:00.0"),
        (83.46, "01:23.5"),
        (3723.4, "1:02:03.4"),
        (-2.318, "-00:02.3"),  # a recording over the end of a transport stream's clock begins before it
        (-3723.4, "-1:02:03.4"),
        (-0.04, "00:00.0"),
    ],
)
def test_a_time_has_hours_where_it_needs_them_and_a_sign_before_zero(time_s: float, text: str) -> None:
    assert clock(time_s) == text


@pytest.mark.parametrize(
    ("time_s", "pad_s", "before_s"), [(7.5, 2.0, 5.5), (1.0, 2.0, 0.0), (-2.5, 0.0, -2.5), (-2.5, 2.0, -4.5)]
)
def test_a_margin_goes_before_zero_only_where_the_time_does(time_s: float, pad_s: float, before_s: float) -> None:
    assert earlier(time_s, pad_s) == before_s
