"""Do windows begin at the cuts of edited footage, and how many are they? `python benchmarks/shots.py FOLDER`

Pieces of 30 of the folder's videos, 1.5 to 7 seconds each, are joined with hard cuts into a film, coded by H.264 at ten
pictures a second. Its windows by the clock and by its cuts are compared with the cuts. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from machine import finish
from still_windows import FPS, Picture, frames_of, write

from vidsearch.records import FrameSpec, VideoFile, WindowSpec
from vidsearch.video.discover import find_videos
from vidsearch.video.reader import open_reader, read_windows

PIECES, FEWEST, MOST = 30, 15, 70  # pictures of a piece
SHORTEST_S = 2.0  # cuts that come sooner after another are not followed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.absolute()
    paths = sorted(item.path for item in find_videos(folder) if isinstance(item, VideoFile))
    starts_s = [0.0]
    figures = {}
    with tempfile.TemporaryDirectory() as made:
        film = Path(made) / "film.mp4"
        write(film, joined(paths, starts_s))
        shots = np.diff(starts_s)
        print(f"{len(shots)} shots in {starts_s[-1]:.1f} s, {(shots >= SHORTEST_S).sum()} of {SHORTEST_S:g} s or more")
        for spec in (WindowSpec(), WindowSpec(8.0, 8.0, 8, "shots")):
            with open_reader(film, FrameSpec(256)) as reader:
                begins = np.array([clip.window.start_s for clip in read_windows(reader, spec)])
            met = sum(bool(np.abs(begins - start_s).min() < 0.5 / FPS) for start_s in starts_s[:-1])
            print(f"{spec.kind}: {len(begins)} windows; one begins with {met} of the shots")
            figures[spec.kind] = {"windows": len(begins), "shots_met": met}
    finish("windows at cuts", film_shots=len(shots), film_s=starts_s[-1], windows=figures)


def joined(paths: list[Path], starts_s: list[float]) -> Iterator[Picture]:
    """The pictures of the film; where each piece ends is added to `starts_s`."""
    random = np.random.default_rng(1)
    for place in random.permutation(len(paths))[:PIECES]:
        piece = list(frames_of(paths[place], int(random.integers(FEWEST, MOST))))
        starts_s.append(starts_s[-1] + len(piece) / FPS)
        yield from piece


if __name__ == "__main__":
    main()
