"""Windows to moments: neighbouring windows of one video that answer alike become one hit. Arithmetic alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsearch.records import Hit, ScoredWindow

# A neighbour joins a moment when it scores at least this share of the moment's best window. Half of a neighbouring
# window usually shows the same seconds, so a real neighbour stays close to the best; the next event falls below.
JOIN_SHARE = 0.9

# A window that shares at least this part of its time with a better moment of the same video says nothing new.
SAME_SHARE = 0.5


@dataclass(slots=True)
class _Moment:
    """Windows in a row, about the best one."""

    path: Path
    start_s: float
    end_s: float
    best: ScoredWindow
    copies: int  # files with the same bytes that have it as well


def merge_windows(
    windows: Iterable[ScoredWindow],
    *,
    model: str,
    top: int,
    per_video: int,
    min_score: float | None = None,
    copies: bool = False,
) -> list[Hit]:
    """The best `top` moments in descending order of score, at most `per_video` of one video.

    A moment grows from its best window over windows that touch or overlap it and score at least `JOIN_SHARE` of the
    best one. Its score is that of the best window. Equal scores are ordered by path, then time. Files with the same
    bytes are one video, and `more` counts the others; with `copies` each is a video of its own.
    """
    by_content: dict[int | str, list[ScoredWindow]] = {}
    for window in windows:
        if min_score is None or window.score >= min_score:
            content = None if copies else window.fingerprint
            by_content.setdefault(content or window.video_id, []).append(window)
    moments = [moment for group in by_content.values() for moment in _moments_of_video(group, per_video)]
    moments.sort(key=lambda moment: (-moment.best.score, str(moment.path), moment.best.start_s))
    return [_hit(number, moment, model) for number, moment in enumerate(moments[:top], start=1)]


def by_video(hits: Sequence[Hit]) -> list[list[Hit]]:
    """The hits of each video, videos and hits in the order in which they come."""
    groups: dict[Path, list[Hit]] = {}
    for hit in hits:
        groups.setdefault(hit.path, []).append(hit)
    return list(groups.values())


def _moments_of_video(windows: Sequence[ScoredWindow], limit: int) -> list[_Moment]:
    left = sorted(windows, key=lambda window: (-window.score, window.start_s, window.offline, str(window.path)))
    moments: list[_Moment] = []
    while left and len(moments) < limit:
        best = left[0]
        start_s, end_s = _grown(best, left)
        copies = len({window.video_id for window in left if window.start_s == best.start_s}) - 1
        moments.append(_Moment(best.path, start_s, end_s, best, copies))
        left = [
            window
            for window in left
            if min(end_s, window.end_s) - max(start_s, window.start_s)
            < SAME_SHARE * (window.end_s - window.start_s) - 1e-6
        ]
    return moments


def _grown(best: ScoredWindow, windows: Sequence[ScoredWindow]) -> tuple[float, float]:
    """The seconds of the moment around its best window."""
    start_s, end_s, least = best.start_s, best.end_s, JOIN_SHARE * best.score
    alike = sorted((window.start_s, window.end_s) for window in windows if window.score >= least and window is not best)
    for window_start_s, window_end_s in alike:  # to the right, in order of time
        if window_start_s >= best.start_s and window_start_s <= end_s:
            end_s = max(end_s, window_end_s)
    for window_start_s, window_end_s in reversed(alike):  # to the left
        if window_start_s < best.start_s and window_end_s >= start_s:
            start_s = min(start_s, window_start_s)
    return start_s, end_s


def _hit(number: int, moment: _Moment, model: str) -> Hit:
    best = moment.best
    return Hit(
        number=number,
        path=moment.path,
        start_s=moment.start_s,
        end_s=moment.end_s,
        best_s=(best.start_s + best.end_s) / 2,
        score=best.score,
        model=model,
        offline=best.offline,
        fingerprint=best.fingerprint,
        date_s=best.date_s,
        date_recorded=best.date_recorded,
        judged=best.judged,
        more=moment.copies,
    )
