"""From which size are codes and the graph quicker than an exact pass, and what do they miss?

    python benchmarks/search.py --windows 5000 20000 100000
    python benchmarks/search.py --windows 1000000 --no-graph --queries 20 --library FOLDER

For each size a library is made of videos with 100 windows each, once with clustered vectors (a video is a random walk
around a direction of its own, as neighbouring windows are) and once with random ones, the worst case. One video in ten
lies below a folder of its own, every other one is tall enough for a filter. Times are medians in milliseconds on a warm
file cache, of processor time; of what uses all cores also of the clock. OMP_NUM_THREADS=1 makes them comparable.
`once`: the library is opened and asked one question, as the command line does; an index has to be checked and loaded
for it. `again`: the library stays open. Recall is the share of the ten best windows that a way finds: for queries near
a window, between two videos, and in random directions; by codes also below the folder and with the filter. Ends with
one JSON line.

--no-graph leaves out the HNSW graph, which takes twenty times as long to make as codes. --library keeps libraries in
a folder and uses them again; --measure does the one thing or the other, where a run may not take long.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import finish
from numpy.typing import NDArray

from vidsearch.records import ClipWindow, Filter, IndexedVideo, MinHeight, Under, VideoFacts, VideoFile, WindowSpec
from vidsearch.store import vector_index
from vidsearch.store.library import Library

MODEL = "benchmark"
WINDOWS_PER_VIDEO = 100
WINDOWS_PER_HOUR = 900
ALWAYS, NEVER = 1 << 60, 1  # values of `exact_below` and `graph_from`
LIMIT = 400  # windows that a query asks for
MATRIX_UP_TO = 200_000
SEED = 20
FOLDER, FOLDER_SHARE = Path("/videos/trip"), 10
TALL, LOW = 1080, 720  # pixels; every other video

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """A part of a library in which is searched, and which numbers of videos are in it."""

    name: str
    filters: Sequence[Filter]
    holds: Callable[[int], bool]


WHOLE = Part("", (), lambda number: True)
PARTS = (
    WHOLE,
    Part("folder_", (Under(FOLDER),), lambda number: number % FOLDER_SHARE == 0),
    Part("filter_", (MinHeight(TALL),), lambda number: number % 2 == 0),
)


@dataclass(frozen=True)
class Footage:
    """Vectors that are the same whenever they are asked for: of so many videos, WINDOWS_PER_VIDEO rows each."""

    kind: str
    videos: int
    dim: int

    def video(self, number: int) -> Vectors:
        """(WINDOWS_PER_VIDEO, dim)"""
        return make_vectors(self.kind, 1, self.dim, np.random.default_rng([SEED, number]))

    def queries(self, count: int) -> dict[str, Vectors]:
        """Three kinds of questions, (count, dim) each."""
        rng = np.random.default_rng(SEED)
        chosen = rng.choice(self.videos, min(self.videos, 2 * count), replace=False)
        return make_queries(np.concatenate([self.video(number) for number in chosen]), count, rng)

    def ten_best(self, queries: Vectors, holds: Callable[[int], bool]) -> NDArray[np.intp]:
        """(queries, 10) numbers of the windows of a part with the highest scores, as vectors are stored."""
        numbers = [number for number in range(self.videos) if holds(number)]
        scores = np.empty((len(numbers), WINDOWS_PER_VIDEO, len(queries)), dtype=np.float32)
        for place, number in enumerate(numbers):  # one at a time: a million windows take much memory
            scores[place] = self.video(number).astype(np.float16).astype(np.float32) @ queries.T
        best = np.argpartition(-scores.reshape(-1, len(queries)), 10, axis=0)[:10].T
        return np.asarray(numbers)[best // WINDOWS_PER_VIDEO] * WINDOWS_PER_VIDEO + best % WINDOWS_PER_VIDEO


def unit(rows: NDArray[np.floating]) -> Vectors:
    """(n, E) → unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def make_vectors(kind: str, videos: int, dim: int, rng: np.random.Generator) -> Vectors:
    """(videos * WINDOWS_PER_VIDEO, dim)."""
    rows = rng.standard_normal((videos * WINDOWS_PER_VIDEO, dim), dtype=np.float32)
    if kind == "random":
        return unit(rows)
    centres = unit(rng.standard_normal((videos, dim)))
    # Neighbours have a cosine of about 0.99; after some twenty windows the walk is a good way off its start.
    walks = rows.reshape(videos, WINDOWS_PER_VIDEO, dim).cumsum(axis=1) * 0.12 / np.sqrt(dim)
    return unit((centres[:, None] + walks).reshape(-1, dim))


def make_queries(vectors: Vectors, count: int, rng: np.random.Generator) -> dict[str, Vectors]:
    """Three kinds of questions, (count, dim) each."""
    one, two = (vectors[rng.integers(0, len(vectors), count)] for _ in range(2))
    noise = unit(rng.standard_normal((count, vectors.shape[1])))
    return {"near": unit(one + 0.5 * noise), "between": unit(one + two + 0.5 * noise), "random": noise}


def fill(home: Path, footage: Footage) -> None:
    """Writes the library, without any index."""
    windows = tuple(ClipWindow(4.0 * n, 4.0 * n + 8, ()) for n in range(WINDOWS_PER_VIDEO))
    with Library.open(home, exact_below=ALWAYS, graph_from=ALWAYS) as library, library.writing():
        for number in range(footage.videos):
            folder = FOLDER if PARTS[1].holds(number) else FOLDER.parent
            height = TALL if PARTS[2].holds(number) else LOW
            facts = VideoFacts(0.0, 404.0, 25.0, 10100, 1280, height, "h264", "mov,mp4", 0, "decord")
            library.record_indexed(
                IndexedVideo(
                    VideoFile(folder / f"{number:06}.mp4", number, number),
                    f"{number:064}",
                    facts,
                    windows,
                    footage.video(number),
                    MODEL,
                    WindowSpec(),
                )
            )


@dataclass(frozen=True)
class Way:
    """A way of searching: how the library is opened for it."""

    name: str
    exact_below: int = NEVER
    graph_from: int = ALWAYS
    exact: bool = False

    def open(self, home: Path, *, warm: bool) -> Library:
        return Library.open(home, create=False, exact_below=self.exact_below, graph_from=self.graph_from, warm=warm)

    def make(self, home: Path) -> float:
        """Writes its index file; processor seconds."""
        with self.open(home, warm=False) as library, library.writing():
            begin = time.process_time()
        return time.process_time() - begin


EXACT = Way("exact", exact=True)
MATRIX = Way("matrix", exact_below=ALWAYS)
CODES = Way("codes")
GRAPH = Way("graph", graph_from=NEVER)


def median_ms(action: Callable[[Vectors], object], queries: Vectors) -> tuple[float, float]:
    """Processor time, which says the same on a machine that does other things, and the clock's."""
    spans, waits = [], []
    for query in queries:
        begin, started = time.process_time(), time.perf_counter()
        action(query)
        spans.append(time.process_time() - begin)
        waits.append(time.perf_counter() - started)
    return statistics.median(spans) * 1000, statistics.median(waits) * 1000


def time_once(way: Way, home: Path, queries: Vectors) -> float:
    """Processor milliseconds of opening the library and asking one question."""

    def ask(query: Vectors) -> None:
        with way.open(home, warm=way is GRAPH) as library:
            library.search(query, model=MODEL, limit=LIMIT, exact=way.exact)

    return median_ms(ask, queries)[0]


def time_again(way: Way, home: Path, queries: Vectors, part: Part = WHOLE) -> tuple[float, float]:
    """Milliseconds of a further question in an open library, of the processor and by the clock."""
    with way.open(home, warm=True) as library:

        def ask(query: Vectors) -> None:
            library.search(query, model=MODEL, limit=LIMIT, filters=part.filters, exact=way.exact)

        for query in queries[:3]:  # a matrix or an index comes into memory
            ask(query)
        return median_ms(ask, queries)


def recall(way: Way, home: Path, queries: Vectors, right: NDArray[np.intp], part: Part = WHOLE) -> float:
    """recall@10 of a search for as many windows as a query asks for, against the `right` ones, (queries, 10)."""
    shares = []
    with way.open(home, warm=True) as library:
        for query, best in zip(queries, right, strict=True):
            hits = library.search(query, model=MODEL, limit=LIMIT, filters=part.filters)[:10]
            found = {WINDOWS_PER_VIDEO * int(hit.path.stem) + round(hit.start_s / 4) for hit in hits}
            shares.append(len(found & set(best.tolist())) / 10)
    return statistics.mean(shares)


def measure(kind: str, windows: int, given: argparse.Namespace) -> dict[str, float | int | str]:
    footage = Footage(kind, windows // WINDOWS_PER_VIDEO, given.dim)
    queries = footage.queries(given.queries)
    row: dict[str, float | int | str] = {"kind": kind, "windows": windows}
    with home_of(footage, given.library) as folder:
        home = Path(folder)
        if not (home / "library.sqlite3").exists():
            fill(home, footage)
        if "times" in given.measure:
            row |= measure_times(home, footage, queries, given)
        if "recall" in given.measure:
            row |= measure_recall(home, footage, queries, given)
        with Library.open(home, create=False) as library:
            info = library.info()
        row["mb_per_hour"] = round((info.database_bytes + info.index_bytes) * WINDOWS_PER_HOUR / windows / 1e6, 2)
    return row


def measure_times(
    home: Path, footage: Footage, queries: dict[str, Vectors], given: argparse.Namespace
) -> dict[str, float | int | str]:
    row: dict[str, float | int | str] = {}
    row["once_exact_ms"] = round(time_once(EXACT, home, queries["between"][:3]), 1)
    if footage.videos * WINDOWS_PER_VIDEO <= MATRIX_UP_TO:
        row["again_matrix_ms"] = round(time_again(MATRIX, home, queries["between"])[0], 2)
    for way in given.ways:
        row[f"{way.name}_made_s"] = round(way.make(home), 1)
        row[f"once_{way.name}_ms"] = round(time_once(way, home, queries["between"][:5]), 1)
        for part in PARTS if way is CODES else [WHOLE]:
            for name, rows in queries.items():
                processor, clock = time_again(way, home, rows, part)
                row[f"again_{way.name}_{part.name}{name}_ms"] = round(processor, 2)
                row[f"again_{way.name}_{part.name}{name}_clock_ms"] = round(clock, 2)
    return row


def measure_recall(
    home: Path, footage: Footage, queries: dict[str, Vectors], given: argparse.Namespace
) -> dict[str, float | int | str]:
    row: dict[str, float | int | str] = {}
    together = np.concatenate(list(queries.values()))
    for part in PARTS:
        right = footage.ten_best(together, part.holds).reshape(len(queries), -1, 10)
        for way in given.ways:
            way.make(home)
            for (name, rows), best in zip(queries.items(), right, strict=True):
                if way is CODES or part is WHOLE:
                    row[f"{way.name}_recall_{part.name}{name}"] = round(recall(way, home, rows, best, part), 4)
    return row


def home_of(footage: Footage, kept: Path | None) -> AbstractContextManager[str]:
    """A folder for the library: one that is deleted afterwards, or one below `kept`."""
    if kept is None:
        return tempfile.TemporaryDirectory()
    return nullcontext(f"{kept}/{footage.kind}-{footage.videos * WINDOWS_PER_VIDEO}-{footage.dim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", default=[1000, 5000, 20000, 100000])
    parser.add_argument("--kinds", nargs="+", choices=["clustered", "random"], default=["clustered", "random"])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--no-graph", action="store_true")
    parser.add_argument("--links", type=int, default=vector_index.LINKS)
    parser.add_argument("--ef", type=int, default=vector_index.EF_SEARCH)
    parser.add_argument("--library", type=Path, help="keep the libraries below this folder, and use them again")
    parser.add_argument("--measure", nargs="+", choices=["times", "recall"], default=["times", "recall"])
    given = parser.parse_args()
    vector_index.LINKS, vector_index.EF_SEARCH = given.links, given.ef
    given.ways = [CODES] if given.no_graph else [CODES, GRAPH]
    rows = []
    for kind in given.kinds:
        for windows in given.windows:
            rows.append(measure(kind, windows, given))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    finish("search", dim=given.dim, links=given.links, ef=given.ef, rows=rows)


if __name__ == "__main__":
    main()
