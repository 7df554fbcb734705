"""What the library costs: room on disk, and what a query has to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_shelf import FACTS, SPEC, windows_of

from vidsearch.records import IndexedVideo, VideoFile
from vidsearch.store.library import Library
from vidsearch.store.sqlite.searching import EXACT_BELOW
from vidsearch.store.vector_index import IdRange, VectorIndex, files_of

DIM = 512  # of the published models
WINDOWS_PER_HOUR = 900
BYTES_PER_HOUR = 3_000_000


def index_bytes_of_an_hour(folder: Path) -> int:
    rows = np.random.default_rng(0).standard_normal((WINDOWS_PER_HOUR, DIM)).astype(np.float32)
    VectorIndex.build(DIM, [IdRange(0, WINDOWS_PER_HOUR)], lambda run: rows).save(folder, "index", "mobileviclip-small")
    return sum(file.stat().st_size for file in files_of(folder, "index"))


@pytest.mark.needs_hnswlib
@pytest.mark.parametrize("minutes", [60, 1], ids=["long videos", "short videos"])
def test_an_hour_takes_three_megabytes_with_its_index(tmp_path: Path, minutes: int) -> None:
    hours = EXACT_BELOW // WINDOWS_PER_HOUR  # about where a library gets its index
    windows = windows_of(minutes * 15)  # one every 4 s
    rng = np.random.default_rng(0)
    with Library.open(tmp_path) as library, library.writing():
        for number in range(hours * 60 // minutes):
            library.record_indexed(
                IndexedVideo(
                    VideoFile(Path(f"/videos/a folder with a usual name/video {number}.mp4"), 10**9, number),
                    f"{number:064}",
                    FACTS,
                    windows,
                    rng.standard_normal((len(windows), DIM)),
                    "mobileviclip-small",
                    SPEC,
                )
            )
    with Library.open(tmp_path) as library:
        database_bytes = library.info().database_bytes
    assert database_bytes / hours + index_bytes_of_an_hour(tmp_path) <= BYTES_PER_HOUR


def test_a_search_imports_nothing_heavy(tmp_path: Path) -> None:
    Library.open(tmp_path).close()
    program = f"""
import sys
from pathlib import Path
import numpy as np
from vidsearch.store.library import Library
with Library.open(Path({str(tmp_path)!r}), create=False) as library:
    library.search(np.ones(4), model="nano", limit=3)
heavy = ["torch", "hnswlib", "sqlite_utils", "click", "filelock", "rich", "typer", "av", "decord"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
