"""Do real clips index without a failure, and do the search models that are here find them by a sentence about each?

    python benchmarks/real_clips.py [../shared/videos] [--models NAME...] [--absent FILE.csv] [--write-levels FILE]
        [--home FOLDER] [--windows grid|shots] [--still reuse|embed]

Reads the folder's manifest.json (files with a length and a query each), indexes its clips/ into a library of its own
with every search model on this machine and compares each length with the manifest's. Then every model is asked the
queries of the clips and those of absent_queries.csv, about things that are in none of them. Printed are:

- R@1, R@5 and the median rank of the right clip;
- the levels (high, medium, low) that the model has, and those that the rule of vidsearch/evaluation/calibration.py
  measures here: how many right and wrong hits each holds among the first ten of every query;
- what levels do to queries that they were not measured with: each query left out in turn, and levels from one half of
  the clips and queries judged on the other.

mobileviclip-nano understands nothing of real clips and shows what chance gives. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import finish

from vidsearch import dirs
from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.evaluation.calibration import RULE, leave_one_out, outcome, split_half
from vidsearch.evaluation.calibration_report import figures, levels_table, measured_today, sentence
from vidsearch.evaluation.known_answers import JudgedQuery, ask, read_queries
from vidsearch.evaluation.retrieval import recall
from vidsearch.models.folder import find_model
from vidsearch.models.inventory import entries
from vidsearch.models.score_levels import levels_of
from vidsearch.store.library import open_library

HERE = Path(__file__).resolve().parent


def main() -> None:
    given = _arguments()
    folder: Path = given.folder.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    clips = [entry for entry in manifest["files"] if entry["path"].startswith("clips/")]
    queries = [JudgedQuery(entry["query"], folder / entry["path"]) for entry in clips if entry.get("query")]
    queries += read_queries(given.absent)
    with tempfile.TemporaryDirectory() as fresh:
        home = given.home or fresh
        for model in given.models:
            how = ("--windows", given.windows, "--still", given.still)
            _vidsearch("index", str(folder / "clips"), "--model", model, *how, home=Path(home))
        durations = compare_durations(clips, Path(home), given.models[0])
        found = {model: judge(model, queries, Path(home), given.write_levels) for model in given.models}
    finish("real clips", **durations, rule=RULE, models=found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parents[1] / "shared" / "videos")
    parser.add_argument("--models", nargs="+", default=models_here(), help="default: every search model that is here")
    parser.add_argument("--write-levels", type=Path, metavar="FILE", help="keep the levels measured, of one model")
    parser.add_argument("--home", type=Path, help="where the library goes and stays; default: a place that is removed")
    parser.add_argument("--windows", default="grid", help="what windows follow: grid or shots")
    parser.add_argument("--still", default="reuse", help="whether still windows take over a vector: reuse or embed")
    parser.add_argument("--absent", type=Path, default=HERE / "absent_queries.csv", help="a CSV with file and text")
    given = parser.parse_args()
    if given.write_levels and len(given.models) > 1:
        parser.error("--write-levels keeps those of one model: name it with --models")
    return given


def models_here() -> list[str]:
    return [
        entry.known.name
        for entry in entries(dirs.models_dir())
        if entry.known.task == "embedding" and entry.state in ("bundled", "installed")
    ]


def _vidsearch(*arguments: str, home: Path) -> str:
    """Run the program on a library of its own, with the models of this machine, and return its stdout."""
    environment = {**os.environ, "VIDSEARCH_MODEL_DIR": str(dirs.models_dir()), "VIDSEARCH_HOME": str(home)}
    command = [sys.executable, "-m", "vidsearch", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):  # 3: some videos failed, which the table shows
        sys.exit(done.returncode)
    return done.stdout


# ── lengths ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def compare_durations(clips: list[dict[str, Any]], home: Path, model: str) -> dict[str, Any]:
    """A line a clip: its reader, its length beside the manifest's, its windows."""
    rows = json.loads(_vidsearch("videos", "--json", home=home))["videos"]
    videos = {Path(row["path"]).name: row for row in rows if row["model"] in (model, None)}
    off = []
    print(f"{'file':36} {'reader':7} {'manifest':>9} {'measured':>9} {'frames off':>10} {'windows':>8}  state")
    for entry in sorted(clips, key=lambda entry: entry["name"]):
        video = videos[entry["name"]]
        frames_off = abs((video["duration_s"] or 0) - entry["duration"]) * entry["fps"]
        if frames_off > 1.01:
            off.append(entry["name"])
        print(
            f"{entry['name']:36} {video['reader'] or '':7} {entry['duration']:9.3f} {video['duration_s'] or 0:9.3f} "
            f"{frames_off:10.2f} {video['windows']:8}  {video['state']} {video['error'] or ''}"
        )
    failed = [name for name, video in videos.items() if video["state"] != "indexed"]
    windows, hours = (
        sum(video["windows"] for video in videos.values()),
        sum(entry["duration"] for entry in clips) / 3600,
    )
    print(f"{windows} windows, {windows / hours:.0f} an hour of video")
    print(f"{len(videos)} clips, {len(failed)} failed, {len(off)} more than one frame off: {', '.join(off) or 'none'}")
    return {"clips": len(videos), "failed": failed, "more_than_a_frame_off": off, "windows_an_hour": windows / hours}


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def judge(model: str, queries: list[JudgedQuery], home: Path, write_levels: Path | None) -> dict[str, Any]:
    """Ask one model everything, print what it found, and return the figures."""
    embedder = open_text_embedder(model, models_dir=dirs.models_dir())
    with open_library(home, create=False) as library:
        known = ask(library, embedder, queries)
    present = int(known.present.sum())
    found: dict[str, Any] = {name: value / 100 for name, value in recall(known.places, at=(1, 5)).items()}
    found["median rank"] = float(np.median(known.places)) + 1
    print(f"\n{model}: {present} queries of {known.scores.shape[1]} clips, {len(queries) - present} absent ones")
    print(", ".join(f"{name} {value:.3g}" for name, value in found.items()))
    kept = levels_of(find_model(model, dirs.models_dir(), "embedding"), dirs.models_dir())
    here = measured_today(known)
    if write_levels is not None:
        write_levels.write_text(json.dumps(here.to_dict(), indent=1) + "\n", encoding="utf-8")
    for name, levels in (("levels that it has", kept), ("levels measured here", here)):
        if levels is not None:
            print(f"{name}: {sentence(outcome(known, levels))}\n{levels_table(known, levels)}")
            found[name] = figures(known, levels)
    for name, checked in (("each query left out", leave_one_out(known)), ("half judges half", split_half(known))):
        print(f"{name}: {sentence(checked)}")
        found[name] = dataclasses.asdict(checked)
    return found


if __name__ == "__main__":
    main()
