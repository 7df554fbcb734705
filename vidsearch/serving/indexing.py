"""The run of indexing that the page starts and watches: one at a time, in a process beside the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.serving.refusals import RefusedError
from vidsearch.video.worker_process import worker_command, worker_environment

log = logging.getLogger(__name__)

MOST_FAILURES_TOLD = 200
_TELL_EVERY_S = 0.25
_LINE_BYTES = 1 << 20


@dataclass(slots=True)
class Progress:
    """How far a run is. `state`: none was started yet, it runs, or how it ended."""

    state: str = "none"  # none, running, done, failed, stopped
    retry_failed: bool = False
    started_s: float = 0.0  # seconds since 1970
    ended_s: float | None = None
    files: int = 0
    done: int = 0
    indexed: int = 0
    windows: int = 0
    seconds: float = 0.0  # of video that was indexed
    unchanged: int = 0
    gone: int = 0
    device: str | None = None
    current: dict[str, dict[str, int]] = field(default_factory=dict)  # by path: windows done, of how many
    failures: list[dict[str, str]] = field(default_factory=list)
    error: str | None = None

    def add(self, event: dict[str, Any]) -> None:
        """Takes one line of index_run.py."""
        path = event.get("path", "")
        match event["kind"]:
            case "planned":
                self.unchanged += event["unchanged"]
                self.gone += event["gone"]
            case "started":
                self.files, self.device = event["files"], event["device"]
            case "video":
                self.current[path] = {"done": 0, "windows": event["windows"]}
            case "window":
                if file := self.current.get(path):
                    file["done"] += 1
                    file["windows"] = max(file["windows"], file["done"])  # where cuts are followed it is a guess
            case "device":
                self.device = event["device"]
            case "indexed":
                self.current.pop(path, None)
                self.done += 1
                self.indexed += 1
                self.windows += event["windows"]
                self.seconds += event["duration_s"]
            case "failed":
                self.current.pop(path, None)
                self.done = min(self.files, self.done + 1)
                if len(self.failures) < MOST_FAILURES_TOLD:
                    self.failures.append({name: event[name] for name in ("path", "error_kind", "error")})
            case "error":
                self.error = event["error"]

    def form(self) -> dict[str, Any]:
        """As the page gets it."""
        current = [{"path": path, **counts} for path, counts in self.current.items()]
        return {
            "state": self.state,
            "retry_failed": self.retry_failed,
            "started_s": round(self.started_s, 3),
            "ended_s": None if self.ended_s is None else round(self.ended_s, 3),
            "files": self.files,
            "done": self.done,
            "indexed": self.indexed,
            "windows": self.windows,
            "seconds": round(self.seconds, 3),
            "unchanged": self.unchanged,
            "gone": self.gone,
            "device": self.device,
            "current": current,
            "failures": list(self.failures),
            "error": self.error,
        }


class Indexing:
    """Starts and stops runs over the folders that the library knows."""

    def __init__(self, home: Path, model: str, device: str) -> None:
        self._command = worker_command("vidsearch.serving.index_run", "--model", model, "--device", device)
        self._home = home
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False
        self._changed = asyncio.Event()
        self.progress = Progress()

    async def start(self, *, retry_failed: bool) -> None:
        """RefusedError if a run is on its way."""
        if self.progress.state == "running":
            raise RefusedError(409, "A run of indexing is on its way already.")
        self.progress = Progress(state="running", retry_failed=retry_failed, started_s=time.time())
        self._stopping = False
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                *(["--retry-failed"] if retry_failed else []),
                *("--", str(self._home)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_LINE_BYTES,
                env=worker_environment(),
                start_new_session=True,  # Ctrl-C at the server reaches it once, through stop()
            )
        except OSError as error:
            self.progress.state, self.progress.error = "failed", f"The run cannot be started ({error.strerror})."
            raise RefusedError(503, self.progress.error) from error
        self._watching = asyncio.create_task(self._watch(self._process))

    async def stop(self) -> None:
        """Ends the run after a clean commit; nothing if there is none."""
        if self._process is not None and self._process.returncode is None:
            self._stopping = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)

    async def close(self) -> None:
        """Stops the run and waits for it, but not for ever."""
        await self.stop()
        if self._watching is not None and self._process is not None:
            done, _ = await asyncio.wait({self._watching}, timeout=5)
            if not done:
                self._process.kill()
                await self._watching

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The progress now, and again after every change, until the run ends."""
        while True:
            changed = self._changed
            yield {"kind": "progress", **self.progress.form()}
            if self.progress.state != "running":
                return
            await asyncio.sleep(_TELL_EVERY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 15)  # a sign of life in between keeps the connection

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                self.progress.add(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("a line of the indexing run is not understood: %r", error)
            self._tell()
        code = await process.wait()
        state = "stopped" if self._stopping else "done" if code == 0 and self.progress.error is None else "failed"
        if state == "failed" and self.progress.error is None:
            self.progress.error = f"The run ended before its time (exit code {code})."
        self.progress.state, self.progress.ended_s = state, time.time()
        self.progress.current.clear()
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
