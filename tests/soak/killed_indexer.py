"""Runs of indexing, each a process of its own that can be killed at a given moment; imports once, then forks.

    python tests/soak/killed_indexer.py     a JSON request a line on standard input, its JSON answer on standard output

Request: `home`, `folder`, `workers` (whether to decode in worker processes, as the program does, or in the run's own,
which takes a tenth of the time), and when to kill: `outcomes` (that many have come; null: never) and `delay_s` after
that. Answer: `killed`, `seconds`, `indexed` and `failed` (names of files that the run said are committed), `outcomes`
(how many came), and `left` (whether a process of the killed run still ran a minute later).
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from fakes import ColourEmbedder

from vidsearch.embedding.executors import EmbedEvent, PooledExecutor, VideoStarted, WindowEmbedded
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.videos import EmbedSpec, UnfinishedVideo, embed_windows
from vidsearch.records import ClipFrames, ClipWindow, VideoFile
from vidsearch.store.library import Library
from vidsearch.video.ipc import Done, Failed, Job, Opened, receive
from vidsearch.video.pool import DecodeFailed
from vidsearch.video.worker import serve
from vidsearch.workflows.index import IndexOptions, VideoFailed, VideoIndexed, index_folders

_EXACT_BELOW = 8  # windows: so that the index files are written, too


class OwnProcessExecutor:
    """Decodes with a worker's own code, without a worker."""

    def __init__(self, spec: EmbedSpec, open_embedder: Callable[[], ClipEmbedder], jobs: int = 1) -> None:
        self._spec = spec
        self._embedder = open_embedder()
        self.device = self._embedder.device

    def run(self, files: Sequence[VideoFile]) -> Generator[EmbedEvent, None, None]:
        for file in files:
            answers = io.BytesIO()
            spec = self._spec
            serve(Job(file), spec.frame_spec, spec.window_spec, answers, drop_still=spec.still == "reuse")
            answers.seek(0)
            video = UnfinishedVideo(file)
            while (message := receive(answers)) is not None:
                match message:
                    case Opened(facts, windows), _:
                        yield VideoStarted(file, facts, windows)
                    case ClipWindow() as window, None:
                        video.add_still(window)
                        yield WindowEmbedded(file, still=True)
                    case ClipWindow() as window, pixels:
                        embed_windows([video.with_window(ClipFrames(window, pixels))], self._embedder)
                        yield WindowEmbedded(file)
                    case Done(facts, fingerprint), _:
                        video.end(facts, fingerprint)
                        yield video.finished(self._spec)
                    case Failed(error), _:
                        yield DecodeFailed(file, error)


def index(home: Path, folder: Path, said: int, *, workers: bool) -> None:
    """What `vidsearch index` does; each outcome is a line in the pipe `said`."""
    options = IndexOptions(ColourEmbedder.model, ColourEmbedder.frame_spec)
    executor = PooledExecutor if workers else OwnProcessExecutor
    with Library.open(home, exact_below=_EXACT_BELOW, graph_from=_EXACT_BELOW) as library:
        for outcome in index_folders([folder], library, ColourEmbedder, options, open_executor=executor):
            line: list[str] = []
            match outcome:
                case VideoIndexed(file=file):
                    line = ["indexed", file.path.name]
                case VideoFailed(path=path):
                    line = ["failed", path.name]
            os.write(said, json.dumps(line).encode() + b"\n")


def run(request: dict[str, Any]) -> dict[str, Any]:
    """One run, killed or not."""
    hearing, said = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.close(hearing)
        try:
            index(Path(request["home"]), Path(request["folder"]), said, workers=request["workers"])
        except BaseException as error:
            os.write(2, repr(error).encode() + b"\n")
            os._exit(1)
        os._exit(0)
    os.close(said)
    heard = _hear(hearing, request["outcomes"], request["delay_s"])
    if request["outcomes"] is not None:
        os.kill(child, signal.SIGKILL)
    heard += _rest(hearing)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    if not killed and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("a run failed")
    lines = [json.loads(line) for line in heard.splitlines() if line.endswith(b"]")]
    return {
        "killed": killed,
        "seconds": time.monotonic() - began,
        "outcomes": len(lines),
        "indexed": [line[1] for line in lines if line and line[0] == "indexed"],
        "failed": [line[1] for line in lines if line and line[0] == "failed"],
        "left": killed and _runs_on(child),
    }


def _hear(hearing: int, outcomes: int | None, delay_s: float) -> bytes:
    """What the run says until it is to be killed, or until its end."""
    heard = b""
    until: float | None = None if outcomes is None or outcomes > 0 else time.monotonic() + delay_s
    while until is None or time.monotonic() < until:
        wait_s = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([hearing], [], [], wait_s)[0]:
            break
        piece = os.read(hearing, 65536)
        if not piece:
            break
        heard += piece
        if until is None and outcomes is not None and heard.count(b"\n") >= outcomes:
            until = time.monotonic() + delay_s
    return heard


def _rest(hearing: int) -> bytes:
    heard = b""
    while piece := os.read(hearing, 65536):
        heard += piece
    os.close(hearing)
    return heard


def _runs_on(group: int) -> bool:
    """Whether a decoding worker of the killed run is there a minute later; orphans come to this process."""
    until = time.monotonic() + 60.0
    while time.monotonic() < until:
        try:
            os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return False
        time.sleep(0.005)
    return True


def adopt_orphans() -> None:
    """What a killed child leaves behind becomes a child of this process, as of init (Linux)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


if __name__ == "__main__":
    adopt_orphans()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(json.loads(line))) + "\n")
        sys.stdout.flush()
