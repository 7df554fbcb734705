"""How far the vectors of a model in bfloat16 are from those in float32, on the first windows of real clips.

    python benchmarks/rounding.py ../shared/videos/clips --model conse-lite2

Prints the lowest and the median cosine, and the processor time of both.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vidsearch import VideoError, WindowSpec, open_reader, read_windows
from vidsearch.dirs import models_dir
from vidsearch.embedding.torch_clips import PlacedEncoder
from vidsearch.models.folder import find_model
from vidsearch.records import FrameSpec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="conse-lite2")
    parser.add_argument("--windows", type=int, default=1, help="of each clip")
    options = parser.parse_args()
    folder = find_model(options.model, models_dir())
    clips = first_windows(options.folder, folder.embedding.preprocessing.frame_spec, options.windows)
    vectors, seconds = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        encoder = PlacedEncoder(folder, torch.device("cpu"), dtype)
        encoder.run(clips[:1])
        started = time.process_time()
        vectors[dtype] = np.concatenate([encoder.run(clip[None]) for clip in clips])
        seconds[dtype] = time.process_time() - started
    cosines = np.sort((vectors[torch.float32] * vectors[torch.bfloat16]).sum(1))
    print(f"{len(clips)} windows, cosine: lowest {cosines[0]:.5f}, median {np.median(cosines):.5f}")
    print(f"seconds: float32 {seconds[torch.float32]:.1f}, bfloat16 {seconds[torch.bfloat16]:.1f}")


def first_windows(folder: Path, frame_spec: FrameSpec, count: int) -> np.ndarray:
    """(clips, T, H, W, 3) of the files that can be read."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            found += [
                window.frames for window in islice(read_windows(open_reader(path, frame_spec), WindowSpec()), count)
            ]
        except VideoError as error:
            print(error)
    return np.stack(found)


if __name__ == "__main__":
    main()
