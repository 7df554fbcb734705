"""From which size are codes and the graph quicker than an exact pass, and what do they miss?

    python benchmarks/search.py --windows 5000 20000 100000
    python benchmarks/search.py --windows 1000000 --no-graph --queries 20

For each size a library is made of videos with 100 windows each, once with clustered vectors (a video is a random walk
around a direction of its own, as neighbouring windows are) and once with random ones, the worst case. Times are medians
of processor time in milliseconds on a warm file cache; OMP_NUM_THREADS=1 makes them comparable. `once`: the library is
opened and asked one question, as the command line does; an index has to be checked and loaded for it. `again`: the
library stays open; for codes also the time of the clock, as they use all cores. Recall is the share of the ten best
windows that a way finds: for queries near a window, between two videos, and in random directions. Ends with one JSON
line. --no-graph leaves out the HNSW graph, whose making takes an hour at a million windows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import finish
from numpy.typing import NDArray

from vidsearch.records import ClipWindow, IndexedVideo, VideoFacts, VideoFile, WindowSpec
from vidsearch.store import vector_index
from vidsearch.store.library import Library

MODEL = "benchmark"
WINDOWS_PER_VIDEO = 100
WINDOWS_PER_HOUR = 900
FACTS = VideoFacts(0.0, 404.0, 25.0, 10100, 1280, 720, "h264", "mov,mp4", 0, "decord")
ALWAYS, NEVER = 1 << 60, 1  # values of `exact_below` and `graph_from`
LIMIT = 400  # windows that a query asks for
MATRIX_UP_TO = 200_000

Vectors = NDArray[np.float32]


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


def fill(home: Path, vectors: Vectors) -> None:
    """Writes the library, without any index."""
    windows = tuple(ClipWindow(4.0 * n, 4.0 * n + 8, ()) for n in range(WINDOWS_PER_VIDEO))
    with Library.open(home, exact_below=ALWAYS, graph_from=ALWAYS) as library, library.writing():
        for number, first in enumerate(range(0, len(vectors), WINDOWS_PER_VIDEO)):
            library.record_indexed(
                IndexedVideo(
                    VideoFile(Path(f"/videos/{number:06}.mp4"), number, number),
                    f"{number:064}",
                    FACTS,
                    windows,
                    vectors[first : first + WINDOWS_PER_VIDEO],
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


def time_again(way: Way, home: Path, queries: Vectors) -> tuple[float, float]:
    """Milliseconds of a further question in an open library, of the processor and by the clock."""
    with way.open(home, warm=True) as library:

        def ask(query: Vectors) -> None:
            library.search(query, model=MODEL, limit=LIMIT, exact=way.exact)

        for query in queries[:3]:  # a matrix or an index comes into memory
            ask(query)
        return median_ms(ask, queries)


def recall(way: Way, home: Path, vectors: Vectors, queries: Vectors) -> float:
    """recall@10 against all vectors, as they are stored, of a search for as many windows as a query asks for."""
    shares = []
    with way.open(home, warm=True) as library:
        for query, right in zip(queries, ten_best(vectors, queries), strict=True):
            hits = library.search(query, model=MODEL, limit=LIMIT)[:10]
            found = {WINDOWS_PER_VIDEO * int(hit.path.stem) + round(hit.start_s / 4) for hit in hits}
            shares.append(len(found & set(right.tolist())) / 10)
    return statistics.mean(shares)


def ten_best(vectors: Vectors, queries: Vectors) -> NDArray[np.intp]:
    """(queries, 10) rows of the highest scores."""
    scores = np.concatenate(
        [unit(vectors[row : row + 4096]).astype(np.float16).astype(np.float32) @ queries.T for row in blocks(vectors)]
    )
    return np.argpartition(-scores, 10, axis=0)[:10].T


def blocks(vectors: Vectors) -> range:
    return range(0, len(vectors), 4096)


def measure(kind: str, windows: int, given: argparse.Namespace) -> dict[str, float | int | str]:
    rng = np.random.default_rng(windows)
    vectors = make_vectors(kind, windows // WINDOWS_PER_VIDEO, given.dim, rng)
    queries = make_queries(vectors, given.queries, rng)
    ways = [CODES] if given.no_graph else [CODES, GRAPH]
    row: dict[str, float | int | str] = {"kind": kind, "windows": len(vectors)}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, vectors)
        row["once_exact_ms"] = round(time_once(EXACT, home, queries["between"][:3]), 1)
        if windows <= MATRIX_UP_TO:
            row["again_matrix_ms"] = round(time_again(MATRIX, home, queries["between"])[0], 2)
        for way in ways:
            row[f"{way.name}_made_s"] = round(way.make(home), 1)
            row[f"once_{way.name}_ms"] = round(time_once(way, home, queries["between"][:5]), 1)
            processor, clock = time_again(way, home, queries["between"])
            row[f"again_{way.name}_ms"] = round(processor, 2)
            row[f"again_{way.name}_clock_ms"] = round(clock, 2)
            for name, rows in queries.items():
                row[f"{way.name}_recall_{name}"] = round(recall(way, home, vectors, rows), 4)
        with Library.open(home, create=False) as library:
            info = library.info()
        row["mb_per_hour"] = round((info.database_bytes + info.index_bytes) * WINDOWS_PER_HOUR / len(vectors) / 1e6, 2)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", default=[1000, 5000, 20000, 100000])
    parser.add_argument("--kinds", nargs="+", choices=["clustered", "random"], default=["clustered", "random"])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--no-graph", action="store_true")
    parser.add_argument("--links", type=int, default=vector_index.LINKS)
    parser.add_argument("--ef", type=int, default=vector_index.EF_SEARCH)
    given = parser.parse_args()
    vector_index.LINKS, vector_index.EF_SEARCH = given.links, given.ef
    rows = []
    for kind in given.kinds:
        for windows in given.windows:
            rows.append(measure(kind, windows, given))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    finish("search", dim=given.dim, links=given.links, ef=given.ef, rows=rows)


if __name__ == "__main__":
    main()
