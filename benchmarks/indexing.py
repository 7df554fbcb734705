"""Does indexing cost more than its parts? End to end against decode-only and encode-only, on the same files.

    python benchmarks/indexing.py [FOLDER] [--model mobileviclip-nano] [--rounds 3]
    python benchmarks/indexing.py FOLDER --still [--model NAME]    (what still windows save: see still_windows.py)

Each of the three has all cores. On a CPU the stages share them, so the bound is the sum of the two; with a GPU it is
the slower one. A published size is measured with random weights: what they are does not change how long they take.
Rounds alternate, ratios are taken within a round. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import still_windows
from machine import finish, machine, model_with_random_weights

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.videos import BATCH_WINDOWS
from vidsearch.machine import let_waiting_threads_sleep
from vidsearch.records import VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.video.discover import find_videos
from vidsearch.video.pool import DecodePool, WindowDecoded
from vidsearch.workflows.index import (
    IndexOptions,
    VideoIndexed,
    index_folders,
)


def decode_only(files: list[VideoFile], options: IndexOptions) -> int:
    with DecodePool(options.jobs, options.frame_spec, options.window_spec, buffered_events=2 * BATCH_WINDOWS) as pool:
        return sum(isinstance(event, WindowDecoded) for event in pool.decode(files))


def encode_only(windows: int, embedder: ClipEmbedder) -> int:
    side_px = embedder.frame_spec.side_px
    batch = np.zeros((BATCH_WINDOWS, embedder.frames, side_px, side_px, 3), np.uint8)
    for first in range(0, windows, BATCH_WINDOWS):
        embedder.embed(batch[: windows - first])
    return windows


def end_to_end(folder: Path, embedder: ClipEmbedder, options: IndexOptions) -> int:
    with tempfile.TemporaryDirectory() as home, Library.open(Path(home)) as library:
        outcomes = index_folders([folder], library, lambda: embedder, options)
        return sum(outcome.windows for outcome in outcomes if isinstance(outcome, VideoIndexed))


def timed(work: Callable[..., int], *arguments: object) -> tuple[float, int]:
    started = time.perf_counter()
    windows = work(*arguments)
    return time.perf_counter() - started, windows


def main() -> None:
    let_waiting_threads_sleep()  # as index_folders does, which would come too late here: torch is loaded before it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[1] / "examples" / "clips")
    parser.add_argument("--model", default="mobileviclip-nano")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=machine()["cores"])
    parser.add_argument("--still", action="store_true", help="what still windows save, and how the threshold lies")
    given = parser.parse_args()
    if given.still:
        still_windows.main(given.folder.absolute(), given.model, given.jobs)
        return

    with model_with_random_weights(given.model) as models_dir:
        embedder = open_clip_embedder(given.model, models_dir=models_dir)
        options = IndexOptions(
            given.model, embedder.frame_spec, WindowSpec(frames=embedder.frames), jobs=given.jobs, still="embed"
        )
        files = [found for found in find_videos(given.folder.absolute()) if isinstance(found, VideoFile)]
        rounds = []
        for number in range(given.rounds + 1):
            decode_s, windows = timed(decode_only, files, options)
            encode_s, _ = timed(encode_only, windows, embedder)
            whole_s, indexed = timed(end_to_end, given.folder.absolute(), embedder, options)
            assert indexed == windows, (indexed, windows)
            if number:  # the first round warms the caches
                rounds.append((decode_s, encode_s, whole_s))

    ratios = [whole_s / (decode_s + encode_s) for decode_s, encode_s, whole_s in rounds]
    decode_s, encode_s, whole_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{len(files)} files, {windows} windows, {embedder.model} on {embedder.device}, {given.jobs} decoding jobs")
    print(f"decode only  {decode_s:8.2f} s\nencode only  {encode_s:8.2f} s\nend to end   {whole_s:8.2f} s")
    print(f"end to end / (decode + encode): {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    finish(
        "indexing",
        model=embedder.model,
        device=embedder.device,
        files=len(files),
        windows=windows,
        decode_s=decode_s,
        encode_s=encode_s,
        end_to_end_s=whole_s,
        ratio_to_sum=statistics.median(ratios),
        ratio_to_slower=whole_s / max(decode_s, encode_s),
    )


if __name__ == "__main__":
    main()
