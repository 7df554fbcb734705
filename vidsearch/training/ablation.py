"""The paper's ablation on the synthetic world: five temporal configurations, one budget, several seeds.

Rows (`config.ABLATION`): frames on their own and averaged; + RepMixer over time; + attention over all frames without,
and with, temporal position encoding; both. The rest is the nano model at a smaller side, so that a run takes minutes.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from vidsearch.errors import VidsearchError
from vidsearch.files import replacing
from vidsearch.models.mobileviclip.config import ABLATION, CONFIGS, MobileViCLIPConfig
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.contrastive import ContrastiveTask
from vidsearch.training.data import WorldSource
from vidsearch.training.evaluate import Size, from_pictures, measure
from vidsearch.training.nano import fresh_nano
from vidsearch.training.network_embedders import network_evaluator
from vidsearch.training.run_folder import Metrics
from vidsearch.training.settings import default_settings
from vidsearch.training.trainer import Trainer
from vidsearch.training.world.scene import Extent

MODEL = "mobileviclip-nano"
WARM_UP = 30
ASKED = Size(clips=300, groups=40, pairs=60)
# What the table is about is motion: one thing on a plain background, so that a run of minutes gets to it.
EXTENT = Extent(backgrounds=("plain",), groups=False, mix=(0.6, 0.4, 0.0))
COLUMNS = ("t2v_R@1", "motion_alone", "left_right", "first_then")


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a row of the table, a seed, and the budget."""

    row: str
    seed: int
    steps: int
    batch: int
    side_px: int
    word_steps: int = 400  # of the text encoder alone, before the run


def run_ablation(out: Path, job: Job, seeds: range, workers: int, device: str = "cpu") -> None:
    """Train what is not in `out` yet, `workers` runs at a time with one thread each, and print the table.

    `job` gives the budget of every run; its row and seed are replaced. On a GPU the processes share it.
    """
    out.mkdir(parents=True, exist_ok=True)
    jobs = [replace(job, row=row, seed=seed) for seed in seeds for row in ABLATION]
    missing = [job for job in jobs if not _file(out, job).exists()]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, figures in pool.imap_unordered(partial(_run, device=device), missing):
            with replacing(_file(out, done)) as half:
                half.write_text(json.dumps(asdict(done) | figures) + "\n", encoding="utf-8")
            sys.stdout.write(f"{done.row} seed {done.seed}: {figures}\n")
            sys.stdout.flush()
    runs = [json.loads(_file(out, job).read_text(encoding="utf-8")) for job in jobs]
    sys.stdout.write(table(runs) + "\n")
    sys.stdout.write(json.dumps({"steps": job.steps, "batch": job.batch, "side_px": job.side_px, "runs": runs}) + "\n")


def print_table(path: Path) -> None:
    """Print the table of runs that were made before: a JSON file with `runs`, or the --out folder of an ablation."""
    try:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        runs = [run for content in contents for run in content.get("runs", [content])]
        text = table(runs)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise VidsearchError(
            f"{path} holds no runs of an ablation ({error}); give the --out folder of one, or a file with its runs."
        ) from error
    sys.stdout.write(text + "\n")


def _file(out: Path, job: Job) -> Path:
    return out / f"{job.row}-{job.seed}-{job.steps}x{job.batch}-{job.side_px}px.json"


def _run(job: Job, device: str) -> tuple[Job, dict[str, float]]:
    """Train and measure one network; in a process of its own, with one thread."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    losses: list[float] = []
    network = train(job, device, lambda metrics: losses.append(metrics["loss"]))
    figures = measure(network_evaluator(network, from_pictures(job.side_px), seed=1), ASKED, extent=EXTENT)
    seconds = round(time.perf_counter() - began, 1)
    return job, {name: figures[name] for name in COLUMNS} | {"loss": losses[-1], "seconds": seconds}


def train(job: Job, device: str = "cpu", report: Callable[[Metrics], None] | None = None) -> MobileViCLIP:
    """The network of one run."""
    config = CONFIGS[MODEL]
    if not isinstance(config, MobileViCLIPConfig):
        raise TypeError(f"{MODEL} looks at clips")
    config = replace(config, preprocessing=replace(config.preprocessing, side_px=job.side_px))
    settings = default_settings(MODEL)
    settings = replace(settings, batch=job.batch, seed=job.seed, steps=job.steps, word_steps=job.word_steps)
    network = fresh_nano(config, job.seed, settings.initial_temperature, ABLATION[job.row])
    source = WorldSource(config.preprocessing, job.batch, job.seed, EXTENT)
    task = ContrastiveTask(network, source, settings, job.steps, WARM_UP, device)
    trainer = Trainer(task)
    task.pretrain_text()  # the same for all rows of a seed: their text encoders are one
    trainer.run(report=report)
    return network


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Mean ± standard deviation over the seeds, a Markdown row for each row of the ablation; `runs` hold COLUMNS."""
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for row in ABLATION:
        own = [run for run in runs if run["row"] == row]
        cells = [_spread([run[name] for run in own]) for name in COLUMNS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{mean(values):.3f} ± {stdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"
