"""Times of a source → its frames and its time code: SMPTE ST 12-1, drop-frame where the rate is 29.97 or 59.94."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

# The rates that cameras and editing programs know; a measured one so near is taken for it.
STANDARD_RATES = (
    *(Fraction(number * 1000, 1001) for number in (24, 30, 48, 60, 120)),
    *(Fraction(number) for number in (12, 15, 24, 25, 30, 48, 50, 60, 100, 120)),
)
_NEAR = Fraction(1, 5000)  # 29.97 and 30 lie five times as far apart
_EARLY = 0.05  # of a frame: time stamps of whole milliseconds are no nearer to the truth
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d+)")


@dataclass(frozen=True, slots=True)
class FrameRate:
    """Frames a second, and whether time code leaves out numbers so that it keeps up with the clock."""

    rate: Fraction
    drop: bool = False

    @property
    def nominal(self) -> int:
        """What time code counts to: 30 for 29.97."""
        return round(self.rate)

    @property
    def can_drop(self) -> bool:
        """Drop-frame exists for 29.97 and its multiples."""
        return self.rate.denominator == 1001 and self.nominal % 30 == 0


@dataclass(frozen=True, slots=True)
class SourceClock:
    """How a source counts: its rate, when its first frame is shown, and the number in time code that frame has."""

    rate: FrameRate
    start_s: float
    first_frame: int  # 0 if the file states no time code
    stated: str | None = None  # the time code as the file states it
    variable: bool = False  # pictures do not follow at this rate; numbers are those of an even count

    def frame_at(self, time_s: float) -> int:
        """The number, from 0, of the frame that is shown at a time; a frame that begins 1/20 later counts as begun."""
        return max(0, int((time_s - self.start_s) * float(self.rate.rate) + _EARLY))

    def frame_from(self, time_s: float) -> int:
        """The number of the first frame that begins at or after a time."""
        exact = (time_s - self.start_s) * float(self.rate.rate) - _EARLY
        return max(0, -int(-exact // 1))


def near_standard(rate: Fraction) -> Fraction:
    """The rate that is meant by a measured one: 30000/1001 for 29.97."""
    best = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return best if abs(best - rate) <= _NEAR * best else rate.limit_denominator(1001)


def is_variable(times_s: Sequence[float], rate: Fraction, tick_s: float) -> bool:
    """Whether pictures at these ascending times do not follow each other at the rate, as far as ticks can tell."""
    step_s = float(1 / rate)
    tolerance_s = 0.1 * step_s + 1.5 * tick_s
    return any(abs(later - earlier - step_s) > tolerance_s for earlier, later in pairwise(times_s))


def timecode(frame: int, rate: FrameRate) -> str:
    """`01:00:00:00` for a frame's number, `01:00:00;00` in drop-frame; it begins anew after a day."""
    nominal = rate.nominal
    if rate.drop:
        # Numbers 0 and 1 (of 30) are left out in each minute that is not a tenth one.
        left_out = nominal // 15
        ten_minutes = 600 * nominal - 9 * left_out
        tens, rest = divmod(frame, ten_minutes)
        minutes = max(0, (rest - left_out) // (60 * nominal - left_out))
        frame += left_out * (9 * tens + minutes)
    frame %= 24 * 3600 * nominal
    seconds, frames = divmod(frame, nominal)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{';' if rate.drop else ':'}{frames:02d}"


def frame_of(text: str, rate: Fraction) -> tuple[int, bool] | None:
    """The number of a time code, and whether it is drop-frame; None if it is no time code of this rate."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    frame_rate = FrameRate(rate)
    if minutes > 59 or seconds > 59 or frames >= frame_rate.nominal:
        return None
    drop = match[4] != ":" and frame_rate.can_drop
    number = ((hours * 60 + minutes) * 60 + seconds) * frame_rate.nominal + frames
    if drop:
        whole = 60 * hours + minutes
        number -= frame_rate.nominal // 15 * (whole - whole // 10)
    return number, drop
