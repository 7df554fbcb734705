"""How long does a query take, cold and warm, in a library of a given size?

    python benchmarks/query.py [--windows 50000] [--runs 9]

Cold is the whole program as a user starts it, beside an interpreter that does nothing and `vidsearch --help`; warm is a
query in a process that has answered one. The library holds random walks on the sphere in the dimension of the bundled
model: what it holds does not change how long an answer takes. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import finish

from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.records import ClipWindow, IndexedVideo, Query, Term, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.workflows.query import find_moments

MODEL = "mobileviclip-nano"
QUERY = "a red square moves to the left"
WINDOWS_A_VIDEO = 100


def fill(home: Path, windows: int, dim: int, model: str = MODEL) -> None:
    """Videos whose windows walk about a centre of their own, as neighbouring windows of real videos do."""
    random = np.random.default_rng(0)
    facts = VideoFacts(0.0, 404.0, 25.0, 10100, 640, 360, "h264", "mp4", 0, "decord")
    spans = tuple(ClipWindow(4.0 * i, 4.0 * i + 8, ()) for i in range(WINDOWS_A_VIDEO))
    with Library.open(home) as library, library.writing():
        for number in range(windows // WINDOWS_A_VIDEO):
            steps = 0.2 * random.standard_normal((WINDOWS_A_VIDEO, dim)).cumsum(axis=0) / np.sqrt(dim)
            vectors = random.standard_normal(dim) / np.sqrt(dim) + steps
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            file = VideoFile(home / "videos" / f"{number}.mp4", 1000 + number, number)
            library.record_indexed(
                IndexedVideo(file, f"{number:032x}", facts, spans, vectors.astype(np.float32), model, WindowSpec())
            )


def cold(command: list[str], home: Path, runs: int) -> tuple[float, float]:
    """Median wall and processor seconds of the whole process; the first run warms the disk's cache."""
    environment = {**os.environ, "VIDSEARCH_HOME": str(home), "VIDSEARCH_MODEL": MODEL}
    walls, processor = [], []
    for number in range(runs + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        if number:
            walls.append(ended - started)
            processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(walls), statistics.median(processor)


def warm(home: Path, runs: int) -> float:
    """Median seconds of one query in a process that has answered one."""
    embedder = open_text_embedder(MODEL)
    times = []
    with Library.open(home, create=False) as library:
        for _ in range(runs + 1):
            started = time.perf_counter()
            find_moments(library, embedder, Query((Term(QUERY),)))
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    program = [sys.executable, "-m", "vidsearch"]
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        dim = open_text_embedder(MODEL).dim
        fill(small, WINDOWS_A_VIDEO, dim)
        fill(large, given.windows, dim)
        nothing = cold([sys.executable, "-c", "pass"], small, given.runs)
        helped = cold([*program, "--help"], small, given.runs)
        cold_small = cold([*program, "query", QUERY], small, given.runs)
        cold_large = cold([*program, "query", QUERY], large, given.runs)
        warm_large = warm(large, given.runs)

    for name, (wall_s, processor_s) in {
        "python -c pass": nothing,
        "vidsearch --help": helped,
        f"cold query, {WINDOWS_A_VIDEO} windows": cold_small,
        f"cold query, {given.windows} windows": cold_large,
    }.items():
        print(f"{name:28} {1000 * wall_s:7.0f} ms, {1000 * processor_s:7.0f} ms of processor time")
    print(f"{f'warm query, {given.windows} windows':28} {1000 * warm_large:7.1f} ms")
    finish(
        "query",
        windows=given.windows,
        help_processor_s=helped[1],
        cold_small_s=cold_small[0],
        cold_large_s=cold_large[0],
        warm_large_s=warm_large,
        cold_to_bare_interpreter=cold_small[0] / nothing[0],
    )


if __name__ == "__main__":
    main()
