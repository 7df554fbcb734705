"""kill -9 at any moment, and a rerun gives the library of an undisturbed run."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_shelf import DIM

from vidsearch.store.library import Library

HERE = Path(__file__).parent
KILLS = 20
VIDEOS = 80


def start(root: Path, home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "killed_writer.py"), str(root), str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def finish(root: Path, home: Path) -> float:
    """Lets one run come to its end; how long it worked, in seconds."""
    process = start(root, home)
    begin = time.monotonic()
    assert process.communicate()[0] == "finished\n"
    assert process.returncode == 0
    return time.monotonic() - begin


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


@pytest.mark.timeout(900)  # 25 processes in turn, on a machine that may have better things to do
def test_killed_at_random_moments_and_rerun(tmp_path: Path) -> None:
    root, home = tmp_path / "videos", tmp_path / "home"
    root.mkdir()
    for number in range(VIDEOS):
        (root / f"{number:03}.mp4").write_text(f"video {number}")
    span = finish(root, tmp_path / "rehearsal")
    chance = random.Random(20)
    interrupted = 0
    for turn in range(4 * KILLS):
        if interrupted == KILLS:
            break
        if turn % 2 == 0:  # every other time the rerun goes on from where the last one was killed
            change_some(root, chance, turn)
        process = start(root, home)
        time.sleep(chance.uniform(0, span))
        process.kill()
        if process.communicate()[0] == "":
            interrupted += 1
        else:
            span *= 0.7  # the machine has become quicker: it was over before the blow
        with Library.open(home, exact_below=200, graph_from=200) as library:
            assert [problem for problem in library.check() if "search index" not in problem] == []
            assert all(row.windows == 3 for row in library.videos())
            hits = library.search(np.ones(DIM), model="nano", limit=5)
            assert library.search(np.ones(DIM), model="nano", limit=5) == hits  # by whatever index there is
    assert interrupted == KILLS, "the runs were over before they were killed"
    finish(root, home)
    finish(root, tmp_path / "undisturbed")
    assert dump(home) == dump(tmp_path / "undisturbed")
    with Library.open(home, exact_below=200, graph_from=200) as library:
        assert library.check() == []  # the index included
    names = {path.name for path in home.iterdir()}
    index = {"index-1.codes", "index-1.hnsw", "index-1.hnsw.json"}
    assert names == {"library.sqlite3", *index, "writer.lock", "writer.json"}
