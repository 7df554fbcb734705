"""Conversions for browsers: a bounded number of processes, each ended when its viewer leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from vidsearch.serving.refusals import RefusedError
from vidsearch.video.messages import printable
from vidsearch.video.worker_process import worker_command, worker_environment

log = logging.getLogger(__name__)

MOST_AT_ONCE = 2
BLOCK_BYTES = 64 * 1024
# A viewer who takes nothing for so long has paused, and gives way to one who waits; it asks again when it goes on.
STALLED_S = 5.0
_FIRST_BLOCK_TIMEOUT_S = 30.0
_TIME_TO_END_S = 2.0  # for a process that has written all


@dataclass(slots=True, eq=False)
class _Conversion:
    process: asyncio.subprocess.Process
    sent_at: float = field(default_factory=time.monotonic)


class Conversions:
    """Starts `python -m vidsearch.serving.convert` for viewers, at most `most` at once."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self._starting = 0
        self._running: list[_Conversion] = []

    @property
    def pids(self) -> list[int]:
        """Process ids of the conversions that run now."""
        return [conversion.process.pid for conversion in self._running]

    async def stream(self, path: Path, start_s: float, height_px: int) -> AsyncIterator[bytes]:
        """The converted video as it comes; its first block is there when this returns.

        RefusedError if as many viewers as may are watching already, or if nothing can be converted.
        """
        conversion = await self._start(path, start_s, height_px)
        try:
            output = conversion.process.stdout
            assert output is not None
            first = await asyncio.wait_for(output.read(BLOCK_BYTES), _FIRST_BLOCK_TIMEOUT_S)
            if not first:
                raise RefusedError(422, await self._reason(conversion))
        except BaseException as error:
            await self._end(conversion)
            if isinstance(error, TimeoutError):
                raise RefusedError(503, "The video takes too long to convert.") from None
            raise
        return self._blocks(conversion, first)

    async def close(self) -> None:
        """Ends them all."""
        for conversion in list(self._running):
            await self._end(conversion)

    async def _blocks(self, conversion: _Conversion, block: bytes) -> AsyncIterator[bytes]:
        output = conversion.process.stdout
        assert output is not None
        ended = False
        try:
            while block:
                yield block
                conversion.sent_at = time.monotonic()
                block = await output.read(BLOCK_BYTES)
            ended = True
        finally:
            await asyncio.shield(self._end(conversion, _TIME_TO_END_S if ended else 0.0))

    async def _start(self, path: Path, start_s: float, height_px: int) -> _Conversion:
        await self._make_room()
        self._starting += 1
        try:
            process = await asyncio.create_subprocess_exec(
                *worker_command("vidsearch.serving.convert", "--start", f"{start_s:.3f}", "--height", height_px, "--"),
                os.fsencode(path),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=BLOCK_BYTES,
                env=worker_environment(),
            )
        finally:
            self._starting -= 1
        conversion = _Conversion(process)
        self._running.append(conversion)
        return conversion

    async def _make_room(self) -> None:
        if len(self._running) + self._starting < self._most:
            return
        paused = [it for it in self._running if time.monotonic() - it.sent_at > STALLED_S]
        if not paused:
            raise RefusedError(503, f"{self._most} videos are being converted already; stop one and try again.")
        await self._end(min(paused, key=lambda it: it.sent_at))

    async def _end(self, conversion: _Conversion, patience_s: float = 0.0) -> None:
        """Ends its process. One that ends by itself is not killed: asyncio would miss how it ended, and say so."""
        if conversion in self._running:
            self._running.remove(conversion)
        if patience_s and conversion.process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(conversion.process.wait(), patience_s)
        if conversion.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                conversion.process.kill()
            await conversion.process.wait()

    async def _reason(self, conversion: _Conversion) -> str:
        assert conversion.process.stderr is not None
        said = (await conversion.process.stderr.read(4000)).decode("utf-8", "replace").strip()
        return printable(said.splitlines()[-1][:300]) if said else "The video has no picture at that time."
