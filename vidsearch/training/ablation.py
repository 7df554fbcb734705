"""The paper's ablation on the synthetic world: five temporal configurations, one budget, several seeds.

Rows (`config.ABLATION`): frames on their own and averaged; + RepMixer over time; + attention over all frames without,
and with, temporal position encoding; both. The rest is the nano model at a smaller side, so that a run takes minutes.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import torch

from vidsearch.models.mobileviclip.config import ABLATION, CONFIGS, MobileViCLIPConfig
from vidsearch.training.contrastive import ContrastiveTask
from vidsearch.training.data import WorldSource
from vidsearch.training.evaluate import Size, from_pictures, measure
from vidsearch.training.nano import fresh_nano
from vidsearch.training.network_embedders import network_evaluator
from vidsearch.training.settings import default_settings
from vidsearch.training.trainer import Trainer
from vidsearch.training.world.scene import Extent

MODEL = "mobileviclip-nano"
WORD_STEPS, WARM_UP = 400, 30
ASKED = Size(clips=300, groups=40, pairs=60)
# What the table is about is motion: one thing on a plain background, so that a run of minutes gets to it.
EXTENT = Extent(backgrounds=("plain",), groups=False, mix=(0.6, 0.4, 0.0))
COLUMNS = ("t2v_R@1", "motion_alone", "left_right", "first_then")


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a row of the table and a seed."""

    row: str
    seed: int
    steps: int
    batch: int
    side_px: int


def run_ablation(out: Path, job: Job, seeds: int, workers: int) -> None:
    """Train what is not in `out` yet, `workers` runs at a time with one thread each, and print the table.

    `job` gives the budget of every run; its row and seed are replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    jobs = [replace(job, row=row, seed=seed) for seed in range(seeds) for row in ABLATION]
    missing = [job for job in jobs if not _file(out, job).exists()]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, figures in pool.imap_unordered(_run, missing):
            _file(out, done).write_text(json.dumps(asdict(done) | figures) + "\n", encoding="utf-8")
            sys.stdout.write(f"{done.row} seed {done.seed}: {figures}\n")
            sys.stdout.flush()
    results = {row: [_read(out, job) for job in jobs if job.row == row] for row in ABLATION}
    sys.stdout.write(table(results) + "\n")
    budget = {"steps": job.steps, "batch": job.batch, "side_px": job.side_px, "seeds": seeds}
    sys.stdout.write(json.dumps(budget | {"results": results}) + "\n")


def _file(out: Path, job: Job) -> Path:
    return out / f"{job.row}-{job.seed}-{job.steps}x{job.batch}-{job.side_px}px.json"


def _read(out: Path, job: Job) -> dict[str, float]:
    stored = json.loads(_file(out, job).read_text(encoding="utf-8"))
    return {name: stored[name] for name in COLUMNS}


def _run(job: Job) -> tuple[Job, dict[str, float]]:
    """Train and measure one network; in a process of its own, with one thread."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    config = CONFIGS[MODEL]
    if not isinstance(config, MobileViCLIPConfig):
        raise TypeError(f"{MODEL} looks at clips")
    config = replace(config, preprocessing=replace(config.preprocessing, side_px=job.side_px))
    settings = replace(default_settings(MODEL), batch=job.batch, seed=job.seed, steps=job.steps, word_steps=WORD_STEPS)
    network = fresh_nano(config, job.seed, settings.initial_temperature, ABLATION[job.row])
    source = WorldSource(config.preprocessing, job.batch, job.seed, EXTENT)
    task = ContrastiveTask(network, source, settings, job.steps, WARM_UP)
    trainer = Trainer(task)
    task.pretrain_text()  # the same for all rows of a seed: their text encoders are one
    trainer.run()
    figures = measure(network_evaluator(network, from_pictures(job.side_px), seed=1), ASKED, extent=EXTENT)
    return job, {name: figures[name] for name in COLUMNS} | {"seconds": round(time.perf_counter() - began, 1)}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Mean ± standard deviation over the seeds, as a Markdown table; results: row → one dict of COLUMNS a seed."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row, runs in results.items():
        cells = [_spread([run[name] for run in runs]) for name in COLUMNS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"
