"""Small stand-ins for benchmarks: held-out clips of the synthetic world in each benchmark's own layout.

    python -m vidsearch.training.world.stand_ins msrvtt-1ka FOLDER --clips 100

It shows what an evaluation does, not what a model knows of real videos.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vidsearch.training.world import stand_in_moments as moments
from vidsearch.training.world import stand_in_questions as questions
from vidsearch.training.world.captions import CaptionWriter
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


def write_didemo(folder: Path, clips: int, seed: int = 2026) -> Path:
    """DiDeMo: `NAME.mp4` and test_data.json, whose names have other endings; the folder."""
    drawn = retrieval_set(seed, clips)
    names = [f"12@N00_{number}_ab" for number in range(clips)]
    _write_videos(folder / "videos", names, drawn, seed)
    records = [
        {"annotation_id": n, "video": f"{name}.mov", "description": text, "times": [[0, 0]], "num_segments": 1}
        for n, (name, text) in enumerate(zip(names, drawn.texts, strict=True))
    ]
    (folder / "test_data.json").write_text(json.dumps(records), encoding="utf-8")
    return folder


def write_lsmdc(folder: Path, clips: int, seed: int = 2026) -> Path:
    """LSMDC: `NAME.mp4` and LSMDC16_challenge_1000_publictect.csv, tabs and no header; the folder."""
    drawn = retrieval_set(seed, clips)
    names = [f"0001_Film_00.00.{number:02d}.000-00.00.{number:02d}.900" for number in range(clips)]
    _write_videos(folder / "videos", names, drawn, seed)
    times = ["00.00.00.000", "00.00.02.000"] * 2
    lines = ["\t".join([name, *times, text]) for name, text in zip(names, drawn.texts, strict=True)]
    (folder / "LSMDC16_challenge_1000_publictect.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_kinetics(folder: Path, clips: int, seed: int = 2026) -> Path:
    """Kinetics-400: `ID_000000_000010.mp4` and val.csv, whose classes are colours and shapes; the folder."""
    drawn = retrieval_set(seed, clips)
    ids = [f"-ab{number:08d}" for number in range(clips)]
    _write_videos(folder / "val", [f"{name}_000000_000010" for name in ids], drawn, seed)
    with (folder / "val.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        for name, meaning in zip(ids, drawn.meanings, strict=True):
            rows.writerow([f"{meaning.colour} {meaning.shape}", name, 0, 10, "val"])
    return folder


def write_hmdb(folder: Path, clips: int, seed: int = 2026) -> Path:
    """HMDB-51: `NAME.avi.mp4`, and a CLASS_test_split1.txt … 3 a colour; the folder."""
    drawn = retrieval_set(seed, clips)
    names = [f"film{number}_{meaning.colour}" for number, meaning in enumerate(drawn.meanings)]
    _write_videos(folder / "videos", names, drawn, seed)
    lists = folder / "testTrainMulti_7030_splits"
    lists.mkdir()
    for colour in sorted({meaning.colour for meaning in drawn.meanings}):
        own = [name for name, meaning in zip(names, drawn.meanings, strict=True) if meaning.colour == colour]
        for split in (1, 2, 3):
            lines = [f"{name}.avi {2 if number % 3 == split - 1 else 1} \n" for number, name in enumerate(own)]
            (lists / f"{colour}_test_split{split}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def write_msrvtt_captions(folder: Path, clips: int, seed: int = 2026, captions: int = 5) -> Path:
    """MSR-VTT for captions: `videos/videoN.mp4` and test_videodatainfo.json, several captions each; the folder."""
    drawn = retrieval_set(seed, clips)
    _write_videos(folder / "videos", [f"video{number}" for number in range(clips)], drawn, seed)
    writer = CaptionWriter(np.random.default_rng((seed, 7)), held_out=False)
    said = [
        (number, writer.full(meaning).text) for number, meaning in enumerate(drawn.meanings) for _ in range(captions)
    ]
    content = {
        "videos": [{"id": n, "video_id": f"video{n}", "split": "test"} for n in range(clips)],
        "sentences": [{"sen_id": i, "video_id": f"video{n}", "caption": text} for i, (n, text) in enumerate(said)],
    }
    (folder / "test_videodatainfo.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


STAND_INS: dict[str, Callable[[Path, int, int], Path]] = {
    "msrvtt-1ka": write_msrvtt,
    "didemo": write_didemo,
    "activitynet": write_activitynet,
    "lsmdc": write_lsmdc,
    "kinetics400": write_kinetics,
    "hmdb51": write_hmdb,
    "mvbench": questions.write_mvbench,
    "egoschema": questions.write_egoschema,
    "nextqa-mc": questions.write_nextqa,
    "perceptiontest": questions.write_perceptiontest,
    "mlvu": questions.write_mlvu,
    "activitynet-qa": questions.write_activitynet_qa,
    "qvhighlights": moments.write_qvhighlights,
    "charades-sta": moments.write_charades,
    "charades-sta-long": partial(moments.write_charades, events=36),  # six minutes each
    "msrvtt": write_msrvtt_captions,
}


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
