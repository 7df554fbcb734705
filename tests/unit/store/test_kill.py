"""kill -9 at any moment, and a rerun gives the library of an undisturbed run."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_shelf import DIM

from vidsearch.extras import installed
from vidsearch.store.library import Library

HERE = Path(__file__).parent
KILLS = 20
VIDEOS = 80


Run = Callable[..., "float | None"]  # (root, home, kill_after_s) → see killed_writer.py


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs in processes of their own."""
    writer = subprocess.Popen(
        [sys.executable, str(HERE / "killed_writer.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdin is not None and writer.stdout is not None
    asking, answering = writer.stdin, writer.stdout

    def ask(root: Path, home: Path, kill_after_s: float | None = None) -> float | None:
        asking.write(json.dumps({"root": str(root), "home": str(home), "kill_after_s": kill_after_s}) + "\n")
        asking.flush()
        took_s: float | None = json.loads(answering.readline())
        return took_s

    with writer:
        yield ask


def change_some(root: Path, chance: random.Random, turn: int) -> None:
    """New content, new names, new and lost files: work for the next run."""
    files = sorted(root.iterdir())
    for path in chance.sample(files, 25):
        path.write_text(f"{path.name} in turn {turn}")
    for path in chance.sample(files, 10):
        path.rename(root / f"moved {turn} {path.name[-7:]}")
    for path in chance.sample(sorted(root.iterdir()), 5):
        path.unlink()
    for number in range(5):
        (root / f"new {turn} {number}.mp4").write_text(f"new in turn {turn}: {number}")


def dump(home: Path) -> list[tuple[Any, ...]]:
    """Everything a library says about its videos, without the numbers that count how it came about."""
    with closing(sqlite3.connect(home / "library.sqlite3")) as connection:
        return connection.execute(
            """SELECT v.path, size_bytes, mtime_ns, device, fingerprint, state, error_kind, error, start_s, duration_s,
                fps, frames, width_px, height_px, codec, container, rotation_deg, reader, damage,
                m.name, m.dim, window_length_s, window_stride_s, window_frames, e.windows, vectors,
                (SELECT group_concat(ordinal || ' ' || start_s || ' ' || end_s) FROM windows w
                    WHERE w.embedding_id = e.id)
            FROM videos v LEFT JOIN embeddings e ON e.video_id = v.id LEFT JOIN models m ON m.id = e.model_id
            ORDER BY v.path, m.name"""
        ).fetchall()


@pytest.mark.timeout(900)  # on a machine that may have better things to do
def test_killed_at_random_moments_and_rerun(tmp_path: Path, run: Run) -> None:
    root, home = tmp_path / "videos", tmp_path / "home"
    root.mkdir()
    for number in range(VIDEOS):
        (root / f"{number:03}.mp4").write_text(f"video {number}")
    span = run(root, tmp_path / "rehearsal")
    assert span is not None
    chance = random.Random(20)
    interrupted = 0
    for turn in range(4 * KILLS):
        if interrupted == KILLS:
            break
        if turn % 2 == 0:  # every other time the rerun goes on from where the last one was killed
            change_some(root, chance, turn)
        if run(root, home, chance.uniform(0, span)) is None:
            interrupted += 1
        else:
            span *= 0.7  # the machine has become quicker: it was over before the blow
        with Library.open(home, exact_below=200, graph_from=200) as library:
            assert [problem for problem in library.check() if "search index" not in problem] == []
            assert all(row.windows == 3 for row in library.videos())
            hits = library.search(np.ones(DIM), model="nano", limit=5)
            assert library.search(np.ones(DIM), model="nano", limit=5) == hits  # by whatever index there is
    assert interrupted == KILLS, "the runs were over before they were killed"
    run(root, home)
    run(root, tmp_path / "undisturbed")
    assert dump(home) == dump(tmp_path / "undisturbed")
    with Library.open(home, exact_below=200, graph_from=200) as library:
        assert library.check() == []  # the index included
    names = {path.name for path in home.iterdir()}
    index = {"index-1.codes", *(("index-1.hnsw", "index-1.hnsw.json") if installed("hnswlib") else ())}
    assert names == {"library.sqlite3", *index, "writer.lock", "writer.json"}
