"""Prints a small library of the schema of today as SQL: python make_schema_copy.py > schema_mNNN.sql"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np

from vidsearch.errors import VideoError
from vidsearch.records import ClipWindow, Hit, IndexedVideo, Runtime, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.store.sqlite.migrations import APPLICATION_ID, SCHEMA_VERSION


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        fill(Path(home))
        connection = sqlite3.connect(Path(home) / "library.sqlite3")
        connection.execute("UPDATE videos SET device = 'fs1'")  # not that of whoever makes the copy
        connection.execute("INSERT INTO roots (path, is_folder, device, inode) VALUES ('/videos', 1, 'fs1', '2')")
        lines = [*connection.iterdump(), f"PRAGMA application_id = {APPLICATION_ID};"]
        connection.close()
    sys.stdout.write("\n".join([*lines, f"PRAGMA user_version = {SCHEMA_VERSION};", ""]))


def fill(home: Path) -> None:
    facts = VideoFacts(0.5, 18.25, 29.97, 547, 640, 360, "h264", "mov,mp4", 90, "pyav")
    windows = (ClipWindow(0.0, 8.0, (0.0,)), ClipWindow(4.0, 12.0, (4.0,)))
    with Library.open(home) as library:
        library.record_indexed(
            IndexedVideo(
                VideoFile(Path("/videos/a.mp4"), 1000, 1_700_000_000_000_000_000),
                "1000:abc",
                facts,
                windows,
                np.eye(4, dtype=np.float32)[:2],
                "nano",
                WindowSpec(),
                runtimes=frozenset({Runtime("torch", "bfloat16")}),
            )
        )
        broken = VideoFile(Path("/videos/b.mp4"), 2000, 1_700_000_000_000_000_000)
        library.record_failed(broken, VideoError("corrupt", "/videos/b.mp4 is broken"), fingerprint="2000:def")
        library.save_hits("a red ball", [Hit(1, Path("/videos/a.mp4"), 0.0, 8.0, 4.0, 1.0, "nano")])


if __name__ == "__main__":
    main()
