"""The commands of training: run, evaluate, ship, ablation, calibrate; ask, evaluate-ask, ship-ask (`ask/commands.py`).

`python -m vidsearch.training` and `vidsearch train` call `main`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vidsearch.errors import VidsearchError
from vidsearch.models.folder import open_folder
from vidsearch.models.mobileviclip.config import CONFIGS, MobileViCLIPConfig, config_from_dict
from vidsearch.models.mobileviclip.load import build_from, load_network
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training import calibrate
from vidsearch.training.ask.commands import add_parsers as add_ask_parsers
from vidsearch.training.contrastive import ContrastiveTask
from vidsearch.training.data import BatchSource, WorldSource
from vidsearch.training.evaluate import FULL, Size, from_pictures, measure, table, through_h264
from vidsearch.training.nano import fresh_nano
from vidsearch.training.network_embedders import network_evaluator
from vidsearch.training.run_folder import (
    CHECKPOINT_FILE,
    RUN_FILE,
    metrics_to,
    read_checkpoint,
    read_run_file,
    write_run_file,
)
from vidsearch.training.settings import TrainSettings, default_settings
from vidsearch.training.trainer import Trainer

COMMANDS = ("run", "evaluate", "ship", "ablation", "calibrate", "ask", "evaluate-ask", "ship-ask")


def main(arguments: Sequence[str]) -> None:
    """Run one command; `run` where none is named. Raises VidsearchError for what the user can mend."""
    words = list(arguments)
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        raise VidsearchError(f"There is no vidsearch train {words[0]}; choose one of {', '.join(COMMANDS)}.")
    if not words or words[0] not in (*COMMANDS, "-h", "--help"):
        words.insert(0, "run")
    options = _parser().parse_args(words)
    options.command = f"vidsearch train {shlex.join(words)}"
    if options.threads:
        torch.set_num_threads(options.threads)
    options.act(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidsearch train", description="Train MobileViCLIP or Mobile-VideoGPT, and measure what it learned."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _run_options(commands.add_parser("run", help="train (the default)"))
    evaluate = commands.add_parser("evaluate", help="measure a model on held-out parts of the synthetic world")
    evaluate.add_argument("--model", type=Path, required=True, help="a model folder, or the --out folder of a run")
    evaluate.add_argument("--h264", action="store_true", help="through real H.264 files in the demo's formats")
    evaluate.add_argument("--clips", type=int, default=FULL.clips, help="clips of the retrieval set")
    evaluate.add_argument("--groups", type=int, default=FULL.groups, help="groups of eight motions")
    evaluate.add_argument("--pairs", type=int, default=FULL.pairs, help="pairs of opposites, each kind")
    evaluate.add_argument("--seed", type=int, default=2026)
    evaluate.set_defaults(act=_evaluate)
    ship = commands.add_parser("ship", help="write a run's network as a model folder")
    ship.add_argument("run", type=Path, help="the --out folder of a run")
    ship.add_argument("folder", type=Path, help="the model folder to write; it is replaced")
    ship.add_argument("--card", type=Path, help="the text of MODEL_CARD.md")
    ship.set_defaults(act=_ship)
    ablation = commands.add_parser("ablation", help="train the five rows of the paper's ablation and print the table")
    ablation.add_argument("--steps", type=int, default=500, help="of each run")
    ablation.add_argument("--batch", type=int, default=64)
    ablation.add_argument("--side", type=int, default=32, help="side of the pictures in pixels, a multiple of 32")
    ablation.add_argument("--seeds", type=int, default=3, help="runs of each row")
    ablation.add_argument("--first-seed", type=int, default=0)
    ablation.add_argument("--out", type=Path, help="folder of the results; finished runs are kept")
    ablation.add_argument("--workers", type=int, default=1, help="runs at a time, one thread each")
    ablation.add_argument("--device", default="cpu", help="cpu, or cuda: all runs on one GPU")
    ablation.add_argument(
        "--table", type=Path, metavar="RUNS", help="train nothing, print the table of runs made before"
    )
    ablation.set_defaults(act=_ablation)
    for command in (evaluate, ship, ablation):
        command.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves its own choice")
    calibrate.add_parser(commands)
    add_ask_parsers(commands)
    return parser


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--model", default="mobileviclip-nano", help="name of a MobileViCLIP size")
    run.add_argument("--out", type=Path, required=True, help="folder of the checkpoint and the metrics")
    run.add_argument("--data", type=Path, help="folder of clips; without it the synthetic world")
    run.add_argument("--captions", type=Path, help="CSV or JSONL with file and caption; default: in the data folder")
    run.add_argument("--validation", type=Path, help="the same of clips in --data that only the validation loss sees")
    run.add_argument("--weights", type=Path, help="model folder to start from")
    run.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    run.add_argument("--steps", type=int)
    run.add_argument("--epochs", type=int)
    run.add_argument("--batch", type=int)
    run.add_argument("--learning-rate", type=float)
    run.add_argument("--weight-decay", type=float)
    run.add_argument("--warm-up-steps", type=int)
    run.add_argument("--word-steps", type=int, help="steps on sentences alone before the run; the world only")
    run.add_argument("--seed", type=int)
    run.add_argument("--train-text", action=argparse.BooleanOptionalAction, help="train the text encoder too")
    run.add_argument(
        "--flip", action=argparse.BooleanOptionalAction, help="flips; not where captions say left or right"
    )
    run.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    run.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, help="default: on a GPU that has it")
    run.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves its own choice")
    run.add_argument("--every", type=int, default=20, help="steps between lines of metrics")
    run.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    run.add_argument("--validate-every", type=int, default=100, help="steps between validation losses; 0: none")
    run.set_defaults(act=_run)


def _run(options: argparse.Namespace) -> None:
    settings = _settings(options)
    config = _config(options.model)
    network = _network(config, settings, options)
    source, steps, warm_up = _source(config, settings, options)
    validation = _validation(config, settings, options)
    task = ContrastiveTask(network, source, settings, steps, warm_up, options.device, validation)
    trainer = Trainer(task, bfloat16=_bfloat16(options))
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / CHECKPOINT_FILE
    if options.resume:
        trainer.resume(checkpoint)
        if trainer.step >= steps:
            sys.stderr.write(f"{checkpoint} is at step {trainer.step} already; give more --steps to go on.\n")
    elif checkpoint.exists():
        raise VidsearchError(f"{checkpoint} is there already; add --resume to go on, or choose another --out folder.")
    else:
        task.pretrain_text()
    write_run_file(options.out, settings, options.command, config=network.config.to_dict(), steps=steps)
    with metrics_to(options.out) as report:
        trainer.run(
            every=options.every,
            report=report,
            checkpoint=checkpoint,
            save_every=options.save_every,
            validate_every=options.validate_every,
        )


def _settings(options: argparse.Namespace) -> TrainSettings:
    fields = (
        "steps",
        "epochs",
        "batch",
        "learning_rate",
        "weight_decay",
        "warm_up_steps",
        "word_steps",
        "seed",
        "train_text",
        "flip",
    )
    given = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    settings = dataclasses.replace(default_settings(options.model), **given)
    if options.data is not None:  # files have no labels to read, and their number says how long an epoch is
        steps = options.steps
        settings = dataclasses.replace(settings, aux_loss_weight=0.0, word_steps=0, steps=steps)
    if settings.batch < 2 or (settings.steps is not None and settings.steps < 1):
        raise VidsearchError("Training needs --batch of at least 2 and --steps of at least 1.")
    return settings


def _config(model: str) -> MobileViCLIPConfig:
    config = CONFIGS.get(model)
    if not isinstance(config, MobileViCLIPConfig):
        names = sorted(name for name, each in CONFIGS.items() if isinstance(each, MobileViCLIPConfig))
        raise VidsearchError(f"No model that looks at clips is called {model!r}; choose one of {', '.join(names)}.")
    return config


def _network(config: MobileViCLIPConfig, settings: TrainSettings, options: argparse.Namespace) -> MobileViCLIP:
    if options.weights is not None:
        return _loaded(options.weights)
    if settings.from_scratch:
        return fresh_nano(config, settings.seed, settings.initial_temperature)
    if not options.resume:
        raise VidsearchError(
            f"{config.name} is trained from the weights of its picture model; give a model folder with --weights."
        )
    return _video_network(config)


def _video_network(config: MobileViCLIPConfig) -> MobileViCLIP:
    network = build_from(config)
    if not isinstance(network, MobileViCLIP):
        raise TypeError("a MobileViCLIPConfig builds a MobileViCLIP")
    return network


def _loaded(folder: Path) -> MobileViCLIP:
    network = load_network(open_folder(folder), form="train")
    if not isinstance(network, MobileViCLIP):
        raise VidsearchError(f"{folder} holds a model of pictures; training on clips needs a MobileViCLIP folder.")
    return network


def _source(
    config: MobileViCLIPConfig, settings: TrainSettings, options: argparse.Namespace
) -> tuple[BatchSource, int, int]:
    """The batches, the number of steps and of warm-up steps."""
    if options.data is None:
        if settings.steps is None:
            raise VidsearchError("The synthetic world has no end; say how long to train with --steps.")
        warm_up = settings.warm_up_steps if settings.warm_up_steps is not None else settings.steps // 3
        return WorldSource(config.preprocessing, settings.batch, settings.seed), settings.steps, warm_up
    from vidsearch.evaluation.captions import read_captions
    from vidsearch.training.clip_folder import FolderSource  # late: the world needs no decoder

    source = FolderSource(read_captions(options.data, options.captions), config.preprocessing, settings)
    steps = settings.steps or settings.epochs * source.steps_per_epoch
    warm_up = options.warm_up_steps
    if warm_up is None:
        warm_up = min(settings.warm_up_epochs * source.steps_per_epoch, steps // 3)
    return source, steps, warm_up


def _validation(config: MobileViCLIPConfig, settings: TrainSettings, options: argparse.Namespace) -> BatchSource | None:
    """Held-out meanings of the world; of a folder, the clips of --validation."""
    if options.data is None:
        return WorldSource(config.preprocessing, settings.batch, settings.seed, held_out=True)
    if options.validation is None:
        return None
    from vidsearch.evaluation.captions import read_captions
    from vidsearch.training.clip_folder import FolderSource  # late: the world needs no decoder

    rows = read_captions(options.data, options.validation)
    whole = dataclasses.replace(settings, batch=min(settings.batch, len(rows)))
    return FolderSource(rows, config.preprocessing, whole)


def _bfloat16(options: argparse.Namespace) -> bool:
    if options.bfloat16 is not None:
        return bool(options.bfloat16)
    return options.device.startswith("cuda") and torch.cuda.is_bf16_supported()


def read_run(folder: Path) -> tuple[MobileViCLIP, dict[str, Any]]:
    """The network of a run as its last checkpoint has it, in eval mode, and what run.json says."""
    state = read_checkpoint(folder / CHECKPOINT_FILE)
    run = read_run_file(folder)
    config = config_from_dict(run["config"])
    if not isinstance(config, MobileViCLIPConfig):
        raise VidsearchError(f"{folder} is a run of {config.name}, which does not look at clips.")
    network = _video_network(config)
    own = {key.removeprefix("network."): value for key, value in state["parts"].items() if key.startswith("network.")}
    network.load_state_dict(own)
    return network.eval(), run | {"step": state["step"]}


def _evaluate(options: argparse.Namespace) -> None:
    network = read_run(options.model)[0] if (options.model / RUN_FILE).is_file() else _loaded(options.model)
    preprocessing = network.config.preprocessing
    maker = through_h264(preprocessing.frame_spec) if options.h264 else from_pictures(preprocessing.side_px)
    size = Size(options.clips, options.groups, options.pairs)
    figures = measure(network_evaluator(network, maker, options.seed), size, options.seed)
    sys.stdout.write(table(figures) + "\n")
    asked = {"h264": options.h264, **dataclasses.asdict(size), "seed": options.seed}
    sys.stdout.write(json.dumps(asked | {name: round(value, 4) for name, value in figures.items()}) + "\n")


def _ship(options: argparse.Namespace) -> None:
    from vidsearch.training.ship import ship  # late: needs safetensors and ONNX, training does not

    network, run = read_run(options.run)
    card = options.card.read_text(encoding="utf-8") if options.card else None
    ship(network, run, options.folder, card)


def _ablation(options: argparse.Namespace) -> None:
    from vidsearch.training.ablation import Job, print_table, run_ablation  # late: it starts processes

    if (options.table is None) == (options.out is None):
        raise VidsearchError("Give either --out DIR, to train the rows, or --table RUNS, to print those of a file.")
    if options.table is not None:
        print_table(options.table)
        return
    budget = Job(row="", seed=0, steps=options.steps, batch=options.batch, side_px=options.side)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    run_ablation(options.out, budget, seeds, options.workers, options.device)
