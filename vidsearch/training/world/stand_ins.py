"""A small stand-in for a benchmark: held-out clips of the synthetic world in the benchmark's own layout.

    python -m vidsearch.training.world.stand_ins msrvtt-1ka FOLDER --clips 100

It shows what an evaluation does, not what a model knows of real videos.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidsearch.training.world.eval_sets import EvalSet, retrieval_set
from vidsearch.training.world.files import FileFormat, write_video
from vidsearch.training.world.scene import Scene

FORMAT = FileFormat(128, 96, 12)
SECONDS = 2.0


def write_msrvtt(folder: Path, clips: int, seed: int = 2026) -> Path:
    """MSR-VTT 1k-A: `videos/videoN.mp4` and MSRVTT_JSFUSION_test.csv; the folder."""
    drawn = retrieval_set(seed, clips)
    _write_videos(folder / "videos", [f"video{number}" for number in range(clips)], drawn, seed)
    with (folder / "MSRVTT_JSFUSION_test.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["key", "vid_key", "video_id", "sentence"])
        rows.writerows([f"ret{n}", f"msr{n}", f"video{n}", text] for n, text in enumerate(drawn.texts))
    return folder


def write_activitynet(folder: Path, clips: int, seed: int = 2026) -> Path:
    """ActivityNet Captions: `v_N.mp4` and val_1.json, one sentence a video; the folder."""
    drawn = retrieval_set(seed, clips)
    names = [f"v_{number}" for number in range(clips)]
    _write_videos(folder, names, drawn, seed)
    records = {
        name: {"duration": SECONDS, "timestamps": [[0, SECONDS]], "sentences": [text]}
        for name, text in zip(names, drawn.texts, strict=True)
    }
    (folder / "val_1.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def _write_videos(folder: Path, names: Sequence[str], drawn: EvalSet, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, meaning) in enumerate(zip(names, drawn.meanings, strict=True)):
        scene = Scene(meaning, np.random.default_rng((seed, number)), aspect=FORMAT.aspect)
        write_video(folder / f"{name}.mp4", [(scene, SECONDS)], FORMAT)


STAND_INS = {"msrvtt-1ka": write_msrvtt, "activitynet": write_activitynet}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the stand-in that is named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vidsearch.training.world.stand_ins", description="Write a small stand-in for a benchmark."
    )
    parser.add_argument("set", choices=STAND_INS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(arguments)
    STAND_INS[options.set](options.folder, options.clips, options.seed)


if __name__ == "__main__":
    main()
