"""How long does a query take, cold and warm, in a library of a given size?

    python benchmarks/query.py [--windows 50000] [--runs 9] [--imports]

Cold is the whole program as a user starts it, its modules byte-compiled as pip leaves them, beside an interpreter that
does nothing and `vidsearch --help`; warm is a query in a process that has answered one. The library holds random walks
on the sphere in the dimension of the bundled model: what it holds does not change how long an answer takes. The four
commands take turns, so that a machine that is busy for a while is so for all of them; times are medians, and the ratio
to the interpreter is that of processor time.
Prints a table, then one JSON line. --imports prints instead what a cold query imports, and for how long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
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
            seen = 128 + 40 * random.standard_normal((8, 8)) + 10 * random.standard_normal((WINDOWS_A_VIDEO, 8, 8))
            pictures = seen.clip(0, 255).astype(np.uint8)
            file = VideoFile(home / "videos" / f"{number}.mp4", 1000 + number, number)
            content, rows = f"{number:032x}", vectors.astype(np.float32)
            library.record_indexed(IndexedVideo(file, content, facts, spans, rows, model, WindowSpec(), pictures))


@dataclass(frozen=True)
class Cost:
    """Medians over some runs of a whole process; memory is the most of any."""

    wall_s: float
    processor_s: float
    memory_bytes: int


def environment(home: Path) -> dict[str, str]:
    """Modules are byte-compiled once, as an installation has them, also where the environment forbids it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "VIDSEARCH_HOME": str(home), "VIDSEARCH_MODEL": MODEL}


def cold(commands: dict[str, tuple[list[str], Path]], runs: int) -> dict[str, Cost]:
    """What each command costs in its library, all of them in turn; the first round warms the disk's cache."""
    measured: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, (command, home) in commands.items():
            started = time.perf_counter()
            process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"{command} ended with {process.returncode}")
            seconds = time.perf_counter() - started
            measured[name].append((seconds, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss))
    return {
        name: Cost(
            statistics.median(wall for wall, _, _ in rows[1:]),
            statistics.median(processor for _, processor, _ in rows[1:]),
            max(memory for _, _, memory in rows[1:]),
        )
        for name, rows in measured.items()
    }


def print_imports(home: Path) -> None:
    """The modules that cost most by themselves, and their share, of one cold query; the query before compiles them."""
    command = [sys.executable, "-X", "importtime", "-m", "vidsearch", "query", QUERY, "--all"]
    subprocess.run(command, env=environment(home), capture_output=True, check=True)
    done = subprocess.run(command, env=environment(home), capture_output=True, check=True, text=True)
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line]
    own = {module.strip(): int(alone) for alone, _, module in rows[1:]}
    packages: dict[str, int] = {}
    for module, microseconds in own.items():
        package = module.partition(".")[0]
        packages[package] = packages.get(package, 0) + microseconds
    for title, costs in (("packages", packages), ("modules", own)):
        print(f"{title}, ms:")
        for name, microseconds in sorted(costs.items(), key=lambda item: -item[1])[:20]:
            print(f"{microseconds / 1000:9.1f}  {name}")


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
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--library", type=Path, help="Keep the large library in this folder, and use it again.")
    given = parser.parse_args()
    if given.windows <= WINDOWS_A_VIDEO:
        parser.error(f"--windows: the large library has more than the small one, {WINDOWS_A_VIDEO}")
    program = [sys.executable, "-m", "vidsearch"]
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small"
        large: Path = given.library or Path(folder) / "large"
        dim = open_text_embedder(MODEL).dim
        fill(small, WINDOWS_A_VIDEO, dim)
        if given.imports:
            print_imports(small)
            return
        if not large.exists():
            fill(large, given.windows, dim)
        costs = cold(
            {
                "python -c pass": ([sys.executable, "-c", "pass"], small),
                "vidsearch --help": ([*program, "--help"], small),
                f"cold query, {WINDOWS_A_VIDEO} windows": ([*program, "query", QUERY, "--all"], small),
                f"cold query, {given.windows} windows": ([*program, "query", QUERY, "--all"], large),
            },
            given.runs,
        )
        warm_large = warm(large, given.runs)

    nothing, helped, cold_small, cold_large = costs.values()
    for name, cost in costs.items():
        print(
            f"{name:28} {1000 * cost.wall_s:7.0f} ms, {1000 * cost.processor_s:7.0f} ms of processor time, "
            f"{cost.processor_s / nothing.processor_s:5.1f} interpreters, {cost.memory_bytes / 1e6:5.0f} MB"
        )
    print(f"{f'warm query, {given.windows} windows':28} {1000 * warm_large:7.1f} ms")
    finish(
        "query",
        windows=given.windows,
        help_processor_s=helped.processor_s,
        cold_small_s=cold_small.wall_s,
        cold_large_s=cold_large.wall_s,
        cold_large_memory_bytes=cold_large.memory_bytes,
        warm_large_s=warm_large,
        help_to_interpreter=helped.processor_s / nothing.processor_s,
        cold_small_to_interpreter=cold_small.processor_s / nothing.processor_s,
        cold_large_to_interpreter=cold_large.processor_s / nothing.processor_s,
    )


if __name__ == "__main__":
    main()
