"""A bar with the time that is left, on stderr and only on a terminal, for work that comes in known numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from vidsearch.cli import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Counting:
    """A context manager; `what` names the things that are counted."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def at(self, done: int, total: int) -> None:
        """Show how far it is; the first call starts the bar."""
        if show.is_quiet() or not sys.stderr.isatty():
            return
        if self._progress is None or self._task is None:
            self._progress, self._task = self._start(total)
        self._progress.update(self._task, completed=done, total=total)

    def _start(self, total: int) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=Console(stderr=True), transient=True)
        progress.start()
        return progress, progress.add_task(self.what, total=total)

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
