"""What `vidsearch index` says while it works and when it is done; all of it on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from vidsearch import json_forms
from vidsearch.cli import show
from vidsearch.embedding.executors import RuntimeChosen, VideoStarted, WindowEmbedded
from vidsearch.timecode import clock
from vidsearch.workflows.index import (
    DamagedElsewhere,
    IndexOutcome,
    RootPlanned,
    VideoFailed,
    VideoIndexed,
    WorkStarted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.progress import Progress, TaskID

    from vidsearch.records import WindowSpec
    from vidsearch.store.plan import IndexPlan


class IndexReport:
    """Collects the outcomes of a run: a progress bar on a terminal, the failures and one summary line at the end.

    Progress counts bytes of the files, the one size that is known before a file is opened; a file advances with its
    windows.
    """

    def __init__(self, *, window_spec: WindowSpec, dry_run: bool, live: bool) -> None:
        self.window_spec = window_spec
        self.dry_run = dry_run
        self.planned: list[RootPlanned] = []
        self.indexed: list[VideoIndexed] = []
        self.failed: list[VideoFailed] = []
        self.damaged_elsewhere: tuple[Path, ...] = ()
        self.live = live and sys.stderr.isatty()
        self._started_s = time.monotonic()
        self._open: dict[str, tuple[float, float]] = {}  # path → bytes a window, bytes of the file not yet counted
        self._seconds = 0.0
        self._still_windows = 0
        self._seconds_a_window: dict[str, float] = {}
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
        if kind is None:
            self._say_plan() if self.dry_run else self._say_summary()
        elif kind is KeyboardInterrupt:
            done = f"{show.counted(len(self.indexed), 'video')} of this run {'is' if len(self.indexed) == 1 else 'are'}"
            show.say(f"Stopped. {done} in the library; run the same command again to go on.")

    def add(self, outcome: IndexOutcome) -> None:
        match outcome:
            case RootPlanned():
                self.planned.append(outcome)
                self._say_planned(outcome)
            case WorkStarted(files, device):
                total = sum(file.size_bytes for file in files)
                show.say(f"{show.counted(len(files), 'video')} to index, {show.size_text(total)}, on {device}.")
                self._start_progress(total)
            case VideoStarted(file, facts, windows):
                path = str(file.path)
                self._open[path] = (file.size_bytes / max(1, windows), float(file.size_bytes))
                self._seconds_a_window[path] = facts.picture_s / max(1, windows)
            case RuntimeChosen(note=note):
                show.say(note)
            case WindowEmbedded(file, still):
                self._still_windows += still
                self._window_done(str(file.path))
            case VideoIndexed(file):
                self.indexed.append(outcome)
                self._file_done(str(file.path))
            case VideoFailed(path, _, message):
                self.failed.append(outcome)
                self._file_done(str(path))
                show.warn(message)
            case DamagedElsewhere(paths):
                self.damaged_elsewhere = paths

    def _say_planned(self, planned: RootPlanned) -> None:
        """What a run does about a root that is not its everyday work, before it is done."""
        root, plan = planned.root, planned.plan
        if planned.given is not None:
            show.say(f"vidsearch: {planned.given} is {root}, as the library knows it.")
        if plan.offline:
            show.say(f"vidsearch: {root} is offline; what the library knows of it is kept.")
        elif plan.finds_nothing:
            show.say(f"vidsearch: No videos were found in {root}{_left_out(planned.left_out)}.")
        if plan.recut:
            before = sorted({_windows(spec) for spec in plan.recut})
            show.say(
                f"{show.counted(len(plan.recut), 'video')} to index again: windows of {' and of '.join(before)} become "
                f"windows of {_windows(self.window_spec)}."
            )
        if plan.embedded_again:
            show.say(
                f"{show.counted(plan.embedded_again, 'video')} to index again: still windows get vectors of their own "
                "(--still embed)."
            )

    def _start_progress(self, total_bytes: int) -> None:
        if not self.live or show.is_quiet():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.fields[files]} files"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]:.1f} s of video a second{task.fields[still]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("index", total=total_bytes, files=0, rate=0.0, still="")
        self._progress.start()

    def _window_done(self, path: str) -> None:
        step, left = self._open[path]
        step = min(step, left)
        self._open[path] = (step, left - step)
        self._seconds += self._seconds_a_window[path]
        self._advance(step)

    def _file_done(self, path: str) -> None:
        _, left = self._open.pop(path, (0.0, 0.0))
        self._advance(left)

    def _advance(self, step: float) -> None:
        if self._progress is None or self._task is None:
            return
        elapsed_s = max(1e-3, time.monotonic() - self._started_s)
        files = len(self.indexed) + len(self.failed)
        still = f", {show.counted(self._still_windows, 'still window')}" if self._still_windows else ""
        self._progress.update(self._task, advance=step, files=files, rate=self._seconds / elapsed_s, still=still)

    def _say_plan(self) -> None:
        for root, plan in ((item.root, item.plan) for item in self.planned):
            size = show.size_text(sum(file.size_bytes for file in plan.to_index))
            show.say(f"{root}: {show.counted(len(plan.to_index), 'video')} to index ({size}){_rest_of(plan)}.")
        if self.damaged_elsewhere:
            show.warn(_damaged(self.damaged_elsewhere))
        show.say("Nothing was changed (--dry-run).")

    def _say_summary(self) -> None:
        seconds = sum(item.facts.duration_s for item in self.indexed)
        windows = sum(item.windows for item in self.indexed)
        still = sum(item.still_windows for item in self.indexed)
        elapsed_s = time.monotonic() - self._started_s
        counted = show.counted(windows, "window") + (f", {still} of them still" if still else "")
        parts = [f"Indexed {show.counted(len(self.indexed), 'video')} ({clock(seconds)}, {counted})"]
        parts += [f"in {elapsed_s:.1f} s{''.join(_rest_of(item.plan) for item in self.planned)}."]
        if recorded := sum(item.recorded for item in self.failed):
            parts += [f"{show.counted(recorded, 'video')} failed; vidsearch videos --failed lists them."]
        if others := len(self.failed) - recorded:
            parts += [f"{show.counted(others, 'place')} could not be read; see above."]
        damaged = [item for item in self.indexed if item.facts.damage]
        for item in damaged:
            show.warn(show.about(item.file.path, item.facts.damage))
        show.say(" ".join(parts))
        if self.damaged_elsewhere:
            show.warn(_damaged(self.damaged_elsewhere))

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the run so far."""
        return json_forms.index_run(
            self.planned, self.indexed, self.failed, self.damaged_elsewhere, dry_run=self.dry_run
        )


def _damaged(paths: Sequence[Path]) -> str:
    """Of videos in other folders than the ones that were given."""
    others = f" and of {show.counted(len(paths) - 1, 'more video')}" if len(paths) > 1 else ""
    return (
        f"vidsearch: The vectors of {show.printable(str(paths[0]))}{others}, in other folders, are damaged and not "
        "searched; vidsearch check names all, vidsearch index of their folder makes them again."
    )


def _left_out(number: int) -> str:
    things = "1 file or folder is" if number == 1 else f"{number} files or folders are"
    return f"; {things} hidden or excluded" if number else ""


def _windows(spec: WindowSpec) -> str:
    if spec.kind == "shots":
        return f"one shot, or {spec.length_s:g} s of it"
    return f"{spec.length_s:g} s every {spec.stride_s:g} s"


def _rest_of(plan: IndexPlan) -> str:
    """What a plan leaves as it is or moves, in words: `, 12 unchanged, 1 moved`."""
    parts = {
        "unchanged": len(plan.unchanged) + len(plan.refingerprinted),
        "moved": len(plan.moved),
        "copied from a file with the same content": len(plan.copied),
        "gone": len(plan.gone),
        "excluded now and forgotten": len(plan.excluded),
        "failed before and skipped (--retry-failed tries again)": len(plan.failed_before),
    }
    return "".join(f", {number} {what}" for what, number in parts.items() if number)
