"""The times that a file gives its pictures → those that can be trusted, and the stretches that they fill.

One wrong time stamp must not make hours of video, and a hole must not be searched as if there were pictures in it. What
is judged is only how the times fit each other and what the container states of its length apart from them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Pictures are decoded in another order than they are shown in, but not further apart than this.
_REORDERED = 32
# A step this long is believed only if a whole stretch of pictures follows: recorders pause, single stamps go wrong.
FAR_S = 600.0
_STRETCH = 8
# A step this long, and this many times the usual one, is worth a word.
_HOLE_S, _HOLE_STEPS = 30.0, 100.0
_SAME_BEGIN_S = 1.0  # two recordings that both begin at nought do so about as exactly
_TOLERANCE, _TOLERANCE_S = 1.05, 4.0  # how far times may lie beyond a stated length
_LOWEST_FPS, _HIGHEST_FPS = 5.0, 240.0  # rates that the pictures of an ordinary file have


@dataclass(frozen=True, slots=True)
class StatedLengths:
    """What a container states of its video's length apart from the time stamps; None for what it does not state."""

    movie_s: float | None = None  # its header's, or that of the track in the header's time scale
    media_s: float | None = None  # the video track's own, in the time scale of the stamps
    sound_s: float | None = None  # the longest sound track's own
    overstated_s: float | None = None  # a header's claim that goes far beyond all tracks


def trusted(times_s: NDArray[np.float64], stated: StatedLengths) -> NDArray[np.bool_]:
    """(N,) which of the pictures' times can be trusted. `times_s` (N,) in the order of decoding, NaN for none.

    Not trusted: a time that goes back far behind earlier ones or is undone by later ones; a few pictures behind a step
    of more than `FAR_S`; and what lies beyond the stated length if the statements agree against the stamps.
    """
    mask = np.isfinite(times_s)
    mask[mask] = _in_order(times_s[mask])
    mask[mask] = _not_astray(times_s[mask])
    mask[mask] = _within(times_s[mask], stated)
    return mask


def stretches(starts_s: NDArray[np.float64], end_s: float, gap_s: float) -> list[tuple[float, float]]:
    """(start, end) of each stretch in which no picture stands longer than `gap_s`. `starts_s` (N,) ascending, N > 0.

    The last picture before a gap counts for one usual step, the very last one to its end but no longer than a second or
    one usual step; no picture counts for longer than `gap_s`.
    """
    steps = np.diff(starts_s)
    breaks = np.flatnonzero(steps > gap_s)
    firsts = starts_s[np.concatenate([np.zeros(1, dtype=np.int64), breaks + 1])]
    usual_s = min(gap_s, float(np.median(steps))) if len(steps) else gap_s
    lasts = np.concatenate(
        [starts_s[breaks] + usual_s, [min(end_s, float(starts_s[-1]) + min(gap_s, max(1.0, usual_s)))]]
    )
    return [(float(first), float(last)) for first, last in zip(firsts, lasts, strict=True)]


def hole_s(starts_s: NDArray[np.float64]) -> float | None:
    """The longest step between ascending times (N,), if it is far beyond the usual one; else None."""
    steps = np.diff(starts_s)
    if not len(steps):
        return None
    longest_s = float(steps.max())
    return longest_s if longest_s > max(_HOLE_S, _HOLE_STEPS * float(np.median(steps))) else None


def recordings(times_s: NDArray[np.float64]) -> int:
    """How many recordings stand one after the other in a file, each with times of its own; one is the usual case.

    A later one is at least `_REORDERED` pictures that begin where such a stretch before it began, or earlier: streams
    were joined byte by byte. `times_s` (N,): when each picture is decoded, in that order.
    """
    parts = np.split(times_s, np.flatnonzero(np.diff(times_s) < 0) + 1)
    begins = np.array([np.median(part[:_REORDERED]) for part in parts if len(part) >= _REORDERED])
    return 1 + int((np.diff(begins) < _SAME_BEGIN_S).sum())


def _in_order(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The longest part of the times that rises, and what lies between its neighbours: reordered pictures."""
    count = len(times)
    before = np.maximum.accumulate(times)
    if count <= _REORDERED or bool((times[_REORDERED:] >= before[:-_REORDERED]).all()):
        return np.ones(count, dtype=np.bool_)
    rising = _longest_rising(times)
    places = np.arange(count)
    low = times[rising[np.maximum(np.searchsorted(rising, places - _REORDERED, side="left") - 1, 0)]]
    high = times[rising[np.minimum(np.searchsorted(rising, places + _REORDERED, side="right"), len(rising) - 1)]]
    kept = (times >= low) & (times <= high)
    kept[rising] = True
    return np.asarray(kept, dtype=np.bool_)


def _longest_rising(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions of a longest strictly rising subsequence (Fredman 1975: patience sorting), ascending."""
    ends: list[float] = []
    at: list[int] = []
    previous = np.full(len(times), -1, dtype=np.int64)
    for place, time in enumerate(times.tolist()):
        length = bisect_right(ends, time)
        if length and ends[length - 1] == time:
            length -= 1
        if length == len(ends):
            ends.append(time)
            at.append(place)
        else:
            ends[length], at[length] = time, place
        previous[place] = at[length - 1] if length else -1
    chain = []
    place = at[-1]
    while place >= 0:
        chain.append(place)
        place = int(previous[place])
    return np.array(chain[::-1], dtype=np.int64)


def _not_astray(times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """All but small groups of pictures that a far step separates from the rest."""
    kept = np.ones(len(times), dtype=np.bool_)
    order = np.argsort(times, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(times[order]) > FAR_S) + 1)
    largest = max(groups, key=len)
    for group in groups:
        if group is not largest and len(group) < _STRETCH:
            kept[group] = False
    return kept


def _within(times: NDArray[np.float64], stated: StatedLengths) -> NDArray[np.bool_]:
    """Up to the stated end, if the stamps go far beyond it and are the less credible side."""
    length_s = stated.movie_s
    if not length_s or not len(times):
        return np.ones(len(times), dtype=np.bool_)
    times = times - times.min()
    end_s = float(times.max())
    if end_s <= _TOLERANCE * length_s + _TOLERANCE_S:
        return np.ones(len(times), dtype=np.bool_)
    agreeing = any(other is not None and _near(other, length_s) for other in (stated.media_s, stated.sound_s))
    unusual = len(times) / end_s < _LOWEST_FPS
    if len(times) / length_s > _HIGHEST_FPS or not (agreeing or unusual):
        return np.ones(len(times), dtype=np.bool_)
    kept: NDArray[np.bool_] = times <= _TOLERANCE * length_s
    return kept


def _near(one_s: float, other_s: float) -> bool:
    return abs(one_s - other_s) <= 0.05 * other_s + 1.0
