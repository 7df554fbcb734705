"""How fast are windows read, by which reader? Decoding alone, on all cores.

    python benchmarks/decoding.py FOLDER [--side 256] [--jobs N] [--repeat 2]

Reads the windows (8 frames of 8 s, every 4 s) of every sound video under FOLDER, once with decord as a program would
use it plainly (`get_batch` of the times at the wanted size, a window at a time, without sharing frames), then through
each of our readers and through the rule that chooses between them, each in `jobs` processes. Files that cannot be
trusted to decord are left out, so that all do the same work. Figures are seconds of video per second; the last line is
JSON. Ratios count: everything runs in one call, turn by turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.decord_reader import DecordReader
from vidsearch.video.discover import find_videos
from vidsearch.video.doubts import doubts
from vidsearch.video.header import probe
from vidsearch.video.interface import VideoReader
from vidsearch.video.pyav_reader import PyavReader
from vidsearch.video.reader import open_reader, read_windows
from vidsearch.video.windows import cut_windows


def plain_decord(path: Path, spec: FrameSpec) -> float:
    """decord without any care: each window a `get_batch` of its own. Gives the seconds of video read."""
    import decord

    reader = decord.VideoReader(str(path), width=spec.side_px, height=spec.side_px, num_threads=1)
    times = np.asarray(reader.get_frame_timestamp(np.arange(len(reader))))
    for window in cut_windows(0.0, float(times[-1, 1]), WindowSpec()):
        numbers = np.searchsorted(times[:, 0], np.asarray(window.times_s), side="right") - 1
        reader.get_batch(np.maximum(numbers, 0).tolist()).asnumpy()
    return float(times[-1, 1])


def through(open_it: Callable[[Path, FrameSpec], VideoReader]) -> Callable[[Path, FrameSpec], float]:
    """Reading all windows with one of our readers."""

    def read(path: Path, spec: FrameSpec) -> float:
        with open_it(path, spec) as reader:
            for _ in read_windows(reader, WindowSpec()):
                pass
            return reader.facts.duration_s

    return read


def only_decord(path: Path, spec: FrameSpec) -> VideoReader:
    header = probe(path)
    return DecordReader(path, header, spec, lambda: PyavReader(path, header, spec))


WAYS: dict[str, Callable[[Path, FrameSpec], float]] = {
    "plain decord": plain_decord,
    "decord": through(only_decord),
    "pyav": through(lambda path, spec: PyavReader(path, probe(path), spec)),
    "chosen": through(open_reader),
}


def work(task: tuple[str, str, int]) -> float:
    way, path, side = task
    return WAYS[way](Path(path), FrameSpec(side))


def trusted(folder: Path) -> list[Path]:
    """The videos that every way can read rightly, longest first, so that no core is left with one long file."""
    found = []
    for file in find_videos(folder):
        try:
            if isinstance(file, VideoFile) and not doubts(probe(file.path)):
                found.append((file.size_bytes, file.path))
        except VideoError as error:
            print(f"left out: {error}")
    return [path for _, path in sorted(found, reverse=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    paths = trusted(options.folder)
    best: dict[str, float] = {}
    video_s = 0.0
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        pool.map(time.sleep, [0.1] * options.jobs)  # imports are not decoding
        for _ in range(options.repeat):
            for way in WAYS:
                start = time.perf_counter()
                video_s = sum(pool.imap_unordered(work, [(way, str(path), options.side) for path in paths]))
                best[way] = min(best.get(way, float("inf")), time.perf_counter() - start)
    for way, seconds in best.items():
        print(f"{way:>14}: {seconds:7.2f} s, {video_s / seconds:7.1f} seconds of video per second")
    ratios = {way: round(seconds / best["plain decord"], 3) for way, seconds in best.items()}
    print(
        json.dumps(
            {
                "benchmark": "decoding",
                "files": len(paths),
                "video_s": round(video_s, 1),
                "side_px": options.side,
                "jobs": options.jobs,
                "seconds": {way: round(seconds, 2) for way, seconds in best.items()},
                "ratio_to_plain_decord": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
