"""What the library costs: room on disk, and what a query has to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_shelf import FACTS, SPEC, windows_of

from vidsearch.records import VideoFile
from vidsearch.store import searching
from vidsearch.store.library import Library

DIM = 512  # of the published models
BYTES_PER_HOUR = 3_000_000


@pytest.mark.parametrize(("minutes", "videos"), [(60, 4), (1, 240)], ids=["long videos", "short videos"])
def test_an_hour_takes_three_megabytes_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: int, videos: int
) -> None:
    monkeypatch.setattr(searching, "EXACT_BELOW", 100)
    windows = windows_of(minutes * 15)  # one every 4 s
    rng = np.random.default_rng(0)
    with Library.open(tmp_path) as library, library.writing():
        for number in range(videos):
            library.record_indexed(
                VideoFile(Path(f"/videos/a folder with a usual name/video {number}.mp4"), 10**9, number),
                f"{number:064}",
                FACTS,
                windows,
                rng.standard_normal((len(windows), DIM)),
                model="mobileviclip-small",
                window_spec=SPEC,
            )
    with Library.open(tmp_path) as library:
        info = library.info()
    hours = minutes * videos / 60
    assert info.index_bytes > 0
    assert (info.database_bytes + info.index_bytes) / hours <= BYTES_PER_HOUR


def test_a_search_imports_nothing_heavy(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
import numpy as np
from vidsearch.store.library import Library
with Library.open(Path({str(tmp_path)!r})) as library:
    library.search(np.ones(4), model="nano", limit=3)
heavy = ["torch", "hnswlib", "sqlite_utils", "click", "filelock", "rich", "typer", "av", "decord"]
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
