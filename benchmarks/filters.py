"""What do filters cost in a large library?  python benchmarks/filters.py --windows 1000000

Makes a library of videos with 100 windows each, whose folders, names, dates, lengths and heights differ, and asks it
with each filter and without one: processor time in milliseconds of a search in a library that stays open, medians over
the queries, which take turns so that all see the same machine. OMP_NUM_THREADS=1 makes the figures comparable.
`passing`: the share of the videos that a filter lets through. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from search import MODEL, WINDOWS_PER_VIDEO, Vectors, make_queries, make_vectors, unit

from vidsearch.records import (
    AnyOf,
    Before,
    ClipWindow,
    Filter,
    IndexedVideo,
    MaxDuration,
    MinDuration,
    MinHeight,
    Named,
    NotUnder,
    Since,
    Suffix,
    Under,
    VideoFacts,
    VideoFile,
    WindowSpec,
)
from vidsearch.store.library import Library, open_library

YEAR_S = 365 * 86_400
FILTERS: dict[str, tuple[Filter, ...]] = {
    "none": (),
    "--under one folder of 100": (Under(Path("/videos/07")),),
    "--under 20 folders": (AnyOf(tuple(Under(Path(f"/videos/{n:02}")) for n in range(20))),),
    "--not-under one folder": (NotUnder(Path("/videos/07")),),
    "--name 'IMG_*5.mp4'": (Named("IMG_*5.mp4"),),
    "--ext mov": (Suffix("mov"),),
    "--since 2024 --until 2024": (Since(datetime(2024, 1, 1)), Before(datetime(2025, 1, 1))),
    "--min-duration 5m": (MinDuration(300),),
    "--max-duration 10m": (MaxDuration(600),),
    "--min-height 1080": (MinHeight(1080),),
    "all of these": (
        Under(Path("/videos/07")),
        Named("IMG_*5.mp4"),
        Since(datetime(2024, 1, 1)),
        MinDuration(300),
        MinHeight(1080),
    ),
}


def fill(home: Path, windows: int, dim: int) -> None:
    """A library of so many windows, with its search index."""
    rng = np.random.default_rng(windows)
    spans = tuple(ClipWindow(4.0 * n, 4.0 * n + 8, ()) for n in range(WINDOWS_PER_VIDEO))
    start_s = datetime(2022, 1, 1).timestamp()
    with Library.open(home) as library, library.writing():
        for number in range(windows // WINDOWS_PER_VIDEO):
            suffix = "mov" if number % 10 == 0 else "mp4"
            name = Path(f"/videos/{number % 100:02}/IMG_{number:06}.{suffix}")
            recorded_s = start_s + rng.random() * 4 * YEAR_S
            length_s, height_px = float(rng.uniform(60, 900)), int(rng.choice([480, 720, 1080, 2160]))
            facts = VideoFacts(
                0.0, length_s, 25.0, 10100, 1280, height_px, "h264", "mov,mp4", 0, "decord", recorded_s=recorded_s
            )
            file = VideoFile(name, number, int(start_s * 1e9))
            vectors = make_vectors("clustered", 1, dim, rng)
            library.record_indexed(IndexedVideo(file, f"{number:064}", facts, spans, vectors, MODEL, WindowSpec()))


def some_queries(home: Path, model: str, dim: int, count: int) -> Vectors:
    rng = np.random.default_rng(1)
    with open_library(home, create=False) as library:
        near = [
            held.vectors[50]
            for path in (row.path for row in library.videos(Path("/videos/07"))[:count])
            if (held := library.window_vectors(path, model=model)) is not None
        ]
    return make_queries(unit(np.stack(near)), count, rng)["between"]


def search_ms(library: Library, model: str, query: Vectors, filters: tuple[Filter, ...]) -> float:
    begin = time.process_time()
    library.search(query, model=model, limit=400, filters=filters)
    return 1000 * (time.process_time() - begin)


def measure(home: Path, model: str, dim: int, count: int) -> dict[str, dict[str, float]]:
    figures: dict[str, dict[str, float]] = {}
    with Library.open(home, create=False, warm=True) as library:
        queries = some_queries(home, model, dim, count)
        for filters in FILTERS.values():  # whatever a first search loads
            search_ms(library, model, queries[0], filters)
        spans: dict[str, list[float]] = {name: [] for name in FILTERS}
        for query in queries:
            for name, filters in FILTERS.items():
                spans[name].append(search_ms(library, model, query, filters))
        with library._database.reading() as connection:  # the benchmark counts what passes
            from vidsearch.store.sqlite.statements.filters import condition

            (total,) = connection.execute("SELECT count(*) FROM videos").fetchone()
            for name, filters in FILTERS.items():
                sql, parameters = condition(filters)
                (passing,) = connection.execute(f"SELECT count(*) FROM videos v WHERE {sql}", parameters).fetchone()
                figures[name] = {"ms": round(statistics.median(spans[name]), 1), "passing": round(passing / total, 4)}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--queries", type=int, default=15)
    parser.add_argument("--home", type=Path, help="keep the library here, and take it from here if it is there")
    parser.add_argument("--model", default=MODEL, help="whose vectors that library holds")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = args.home or Path(folder)
        if not (home / "library.sqlite3").exists():
            fill(home, args.windows, args.dim)
        figures = measure(home, args.model, args.dim, args.queries)
    print("| filter | passing | ms | more than without, ms |")
    print("|---|---|---|---|")
    for name, figure in figures.items():
        more = figure["ms"] - figures["none"]["ms"]
        print(f"| {name} | {100 * figure['passing']:.1f} % | {figure['ms']:.1f} | {more:+.1f} |")
    print(json.dumps({"benchmark": "filters", "windows": args.windows, "dim": args.dim, "figures": figures}))


if __name__ == "__main__":
    main()
