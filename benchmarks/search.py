"""From which size is the search index quicker than an exact pass, and what does it miss?

    python benchmarks/search.py --windows 1000 5000 20000 100000

For each size a library is made of videos with 100 windows each, once with clustered vectors (a video is a random walk
around a direction of its own, as neighbouring windows are) and once with random ones, the worst case. Times are medians
of processor time in milliseconds on a warm file cache; OMP_NUM_THREADS=1 makes them comparable. `once`: the library is
opened and asked one question, as the command line does; the index has to be checked and loaded for it. `again`: the
library stays open. Recall is the share of the ten best windows that the index finds: for queries near a window, between
two videos, and in random directions. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import ClipWindow, IndexedVideo, VideoFacts, VideoFile, WindowSpec
from vidsearch.store import vector_index
from vidsearch.store.library import Library

MODEL = "benchmark"
WINDOWS_PER_VIDEO = 100
WINDOWS_PER_HOUR = 900
FACTS = VideoFacts(0.0, 404.0, 25.0, 10100, 1280, 720, "h264", "mov,mp4", 0, "decord")
ALWAYS, NEVER = 1 << 60, 1  # values of `exact_below`

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


def fill(home: Path, vectors: Vectors) -> float:
    """Writes the library and its index; seconds for the index."""
    windows = tuple(ClipWindow(4.0 * n, 4.0 * n + 8, ()) for n in range(WINDOWS_PER_VIDEO))
    with Library.open(home, exact_below=ALWAYS) as library, library.writing():
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
    with Library.open(home, exact_below=NEVER) as library:
        begin = time.process_time()
        library.rebuild()
        return time.process_time() - begin


def median_ms(action: Callable[[Vectors], object], queries: Vectors) -> float:
    """Processor time, not the clock's: on a machine that does other things, too, it says the same."""
    spans = []
    for query in queries:
        begin = time.process_time()
        action(query)
        spans.append(time.process_time() - begin)
    return statistics.median(spans) * 1000


def ask_once(home: Path, query: Vectors, *, by_index: bool) -> None:
    with Library.open(home, create=False, exact_below=NEVER, warm=by_index) as library:
        library.search(query, model=MODEL, limit=10)


def time_once(home: Path, queries: Vectors, *, by_index: bool) -> float:
    def ask(query: Vectors) -> None:
        ask_once(home, query, by_index=by_index)

    return median_ms(ask, queries)


def time_again(home: Path, queries: Vectors, *, by_index: bool) -> float:
    with Library.open(home, create=False, exact_below=NEVER if by_index else ALWAYS) as library:

        def ask(query: Vectors) -> None:
            library.search(query, model=MODEL, limit=10)

        for query in queries[:2]:  # the matrix or the index comes into memory
            ask(query)
        return median_ms(ask, queries)


def recall(home: Path, queries: Vectors) -> float:
    """recall@10 of the index against the exact pass."""
    shares = []
    with Library.open(home, create=False, exact_below=NEVER, warm=True) as library:
        for query in queries:
            right = {(hit.path, hit.start_s) for hit in library.search(query, model=MODEL, limit=10, exact=True)}
            found = {(hit.path, hit.start_s) for hit in library.search(query, model=MODEL, limit=10)}
            shares.append(len(right & found) / 10)
    return statistics.mean(shares)


def measure(kind: str, windows: int, dim: int, count: int) -> dict[str, float | int | str]:
    rng = np.random.default_rng(windows)
    vectors = make_vectors(kind, windows // WINDOWS_PER_VIDEO, dim, rng)
    queries = make_queries(vectors, count, rng)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        built_s = fill(home, vectors)
        with Library.open(home, create=False) as library:
            info = library.info()
        few = queries["between"][:5]
        return {
            "kind": kind,
            "windows": len(vectors),
            "build_s": round(built_s, 1),
            "mb_per_hour": round((info.database_bytes + info.index_bytes) * WINDOWS_PER_HOUR / len(vectors) / 1e6, 2),
            "once_exact_ms": round(time_once(home, few, by_index=False), 1),
            "once_index_ms": round(time_once(home, few, by_index=True), 1),
            "again_exact_ms": round(time_again(home, queries["between"], by_index=False), 2),
            "again_index_ms": round(time_again(home, queries["between"], by_index=True), 2),
            **{f"recall_{name}": round(recall(home, rows), 4) for name, rows in queries.items()},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, nargs="+", default=[1000, 5000, 20000, 100000])
    parser.add_argument("--kinds", nargs="+", choices=["clustered", "random"], default=["clustered", "random"])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--links", type=int, default=vector_index.LINKS)
    parser.add_argument("--ef", type=int, default=vector_index.EF_SEARCH)
    given = parser.parse_args()
    vector_index.LINKS, vector_index.EF_SEARCH = given.links, given.ef
    rows = []
    for kind in given.kinds:
        for windows in given.windows:
            rows.append(measure(kind, windows, given.dim, given.queries))
            if len(rows) == 1:
                print("".join(f"{name:>15}" for name in rows[0]))
            print("".join(f"{value:>15}" for value in rows[-1].values()), flush=True)
    print(json.dumps({"dim": given.dim, "links": given.links, "ef": given.ef, "rows": rows}))


if __name__ == "__main__":
    main()
