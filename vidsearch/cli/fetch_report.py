"""What `vidsearch models pull` says while files arrive; all of it on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from vidsearch.cli import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vidsearch.fetching.remote import Event


class FetchReport:
    """A bar with size and speed for each file on a terminal, else a line when it begins and one when it is there."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._file: tuple[str, float] | None = None  # the one that arrives, and since when
        self._arrived = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bars()

    def stop(self) -> None:
        """No more files: the last one is there, or the person has had enough."""
        self._say_file_done()
        self._close_bars()

    def add(self, event: Event) -> None:
        from vidsearch.fetching.remote import BytesArrived, FileStarted, Waiting

        match event:
            case FileStarted(name, done_bytes, size_bytes):
                self._start(name, done_bytes, size_bytes)
            case BytesArrived(name, count):
                self._arrived += count
                if self._progress is not None:
                    self._progress.advance(self._tasks[name], count)
            case Waiting(seconds, why):
                show.say(f"{why}." if not seconds else f"{why}; waiting {seconds:.0f} s.")

    def _start(self, name: str, done_bytes: int, size_bytes: int | None) -> None:
        if self._file is not None and self._file[0] != name:
            self._say_file_done()
        if sys.stderr.isatty():
            self._draw(name, done_bytes, size_bytes)
        elif self._file is None or self._file[0] != name:
            size = "size not known" if size_bytes is None else show.size_text(size_bytes)
            here = f", {show.size_text(done_bytes)} of it are here" if done_bytes else ""
            show.say(f"Fetching {name} ({size}{here}) ...")
        if self._file is None or self._file[0] != name:
            self._file, self._arrived = (name, time.monotonic()), 0

    def _draw(self, name: str, done_bytes: int, size_bytes: int | None) -> None:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as SpeedColumn

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), SpeedColumn())
            self._progress = Progress(
                *columns, TimeRemainingColumn(), console=Console(stderr=True, quiet=show.is_quiet())
            )
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=size_bytes)
        self._progress.update(self._tasks[name], completed=done_bytes, total=size_bytes)

    def _say_file_done(self) -> None:
        """Where no bar shows it."""
        if self._file is not None and self._progress is None:
            name, began_s = self._file
            elapsed_s = max(1e-3, time.monotonic() - began_s)
            speed = show.size_text(self._arrived / elapsed_s)
            show.say(f"{name}: {show.size_text(self._arrived)} in {elapsed_s:.1f} s, {speed}/s.")
        self._file = None

    def _close_bars(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
