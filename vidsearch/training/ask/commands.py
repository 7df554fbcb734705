"""The commands of the answering model's training: ask, evaluate-ask, ship-ask."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch

from vidsearch.errors import VidsearchError
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.settings import AskSettings, default_settings
from vidsearch.training.run_folder import RUN_FILE, metrics_to, read_run_file, write_run_file


# What needs a tokenizer is imported late: MobileViCLIP trains with numpy and torch alone.
def add_parsers(commands: Any) -> None:
    """Add the three commands to the parser of `vidsearch train`."""
    ask = commands.add_parser("ask", help="train Mobile-VideoGPT on questions about the synthetic world")
    ask.add_argument("--model", default="mobilevideogpt-nano", help="name of a Mobile-VideoGPT size")
    ask.add_argument("--out", type=Path, required=True, help="folder of the run; a run that was cut off goes on")
    ask.add_argument("--weights", type=Path, help="model folder to start from, with its three published stages")
    ask.add_argument("--stages", help="names of stages, separated by commas; default: all")
    ask.add_argument("--steps", type=int, help="steps of every stage")
    ask.add_argument("--batch", type=int, help="clips a step in every stage")
    ask.add_argument(
        "--from",
        dest="runs",
        type=Path,
        nargs="*",
        default=(),
        help="runs whose finished stages are taken over, in this order",
    )
    ask.add_argument(
        "--selection", choices=("scored", "uniform"), default="scored", help="frames the video encoder sees"
    )
    ask.add_argument("--rank", type=int, help="rank of the adapters; alpha is twice as much")
    ask.add_argument("--dropout", type=float, help="of the adapters")
    ask.add_argument("--seed", type=int)
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    ask.add_argument("--every", type=int, default=20, help="steps between lines of metrics")
    ask.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    ask.add_argument("--validate-every", type=int, default=100, help="steps between validation losses; 0: none")
    ask.set_defaults(act=_ask)
    evaluate = commands.add_parser("evaluate-ask", help="ask a model 2,000 held-out questions")
    evaluate.add_argument("--model", type=Path, required=True, help="a model folder, or the --out folder of a run")
    evaluate.add_argument("--uniform", type=Path, help="a second one, trained with --selection uniform")
    evaluate.add_argument("--clips", type=int, default=250)
    evaluate.add_argument("--questions", type=int, default=8, help="about each clip")
    evaluate.add_argument("--seed", type=int, default=2026)
    evaluate.set_defaults(act=_evaluate)
    ship = commands.add_parser("ship-ask", help="write a run's network as a model folder")
    ship.add_argument("run", type=Path, help="the --out folder of a run")
    ship.add_argument("folder", type=Path, help="the model folder to write; it is replaced")
    ship.add_argument("--card", type=Path, help="the text of MODEL_CARD.md")
    ship.set_defaults(act=_ship)
    for command in (ask, evaluate, ship):
        command.add_argument("--threads", type=int, default=0, help="threads of torch; 0 leaves its own choice")


def _ask(options: argparse.Namespace) -> None:
    from vidsearch.training.ask.run import run_stages, take_over
    from vidsearch.training.ask.stages import make_parts

    settings = _settings(options)
    parts = make_parts(_start(settings, options.weights).to(options.device), settings, options.device)
    for run in options.runs:
        take_over(parts, run)
    options.out.mkdir(parents=True, exist_ok=True)
    write_run_file(options.out, settings, options.command)
    with metrics_to(options.out) as report:
        run_stages(
            parts,
            options.out,
            report,
            bfloat16=options.bfloat16,
            every=options.every,
            save_every=options.save_every,
            validate_every=options.validate_every,
        )


def _settings(options: argparse.Namespace) -> AskSettings:
    if options.model not in CONFIGS:
        raise VidsearchError(f"No model that answers is called {options.model!r}; choose one of {', '.join(CONFIGS)}.")
    settings = default_settings(options.model)
    stages = settings.stages
    if options.stages:
        names = options.stages.split(",")
        unknown = set(names) - {stage.name for stage in stages}
        if unknown:
            known = ", ".join(stage.name for stage in stages)
            raise VidsearchError(f"{options.model} has no stage {', '.join(sorted(unknown))}; its stages are {known}.")
        stages = tuple(stage for stage in stages if stage.name in names)
    changes = {name: value for name in ("steps", "batch") if (value := getattr(options, name)) is not None}
    stages = tuple(dataclasses.replace(stage, **changes) for stage in stages)
    if any(stage.steps < 1 or stage.batch < 1 for stage in stages):
        raise VidsearchError("The synthetic world has no end; say how long each stage is with --steps.")
    lora = settings.lora
    if options.rank is not None:
        lora = dataclasses.replace(lora, rank=options.rank, alpha=2 * options.rank)
    if options.dropout is not None:
        lora = dataclasses.replace(lora, dropout=options.dropout)
    seed = settings.seed if options.seed is None else options.seed
    return dataclasses.replace(settings, stages=stages, lora=lora, seed=seed, selection=options.selection)


def _start(settings: AskSettings, weights: Path | None) -> MobileVideoGPT:
    if weights is not None:
        from vidsearch.models.folder import open_folder  # late: safetensors, which a bare machine may lack
        from vidsearch.models.mobilevideogpt.load import load_language_model

        return load_language_model(open_folder(weights), dtype=torch.float32)
    if not settings.from_scratch:
        raise VidsearchError(f"{settings.model} is trained from published weights; give a model folder with --weights.")
    from vidsearch.training.ask.initialisation import init_from_scratch

    torch.manual_seed(settings.seed)
    network = MobileVideoGPT(CONFIGS[settings.model])
    init_from_scratch(network, settings.seed)
    return network


def read_run(folder: Path) -> tuple[MobileVideoGPT, dict[str, Any]]:
    """The network of a run after its last stage, adapters merged, in eval mode, and what run.json says."""
    from vidsearch.training.ask.run import load_weights, settings_from, weights_after
    from vidsearch.training.ask.stages import make_parts, make_stages

    run = read_run_file(folder)
    settings = settings_from(run["settings"])
    network = MobileVideoGPT(CONFIGS[settings.model])
    last = list(make_stages(make_parts(network, settings)))[-1]
    load_weights(last, weights_after(folder, last.name))
    return network.eval(), run


def _network(path: Path) -> MobileVideoGPT:
    if (path / RUN_FILE).is_file():
        return read_run(path)[0]
    from vidsearch.models.folder import open_folder
    from vidsearch.models.mobilevideogpt.load import load_language_model

    return load_language_model(open_folder(path), dtype=torch.float32)


def _evaluate(options: argparse.Namespace) -> None:
    from vidsearch.training.ask.conversation import Conversations
    from vidsearch.training.ask.evaluate import measure, table
    from vidsearch.training.ask.vocabulary import build_tokenizer

    conversations = Conversations(build_tokenizer())
    network = _network(options.model)
    asked = {"clips": options.clips, "questions": options.questions, "seed": options.seed}
    columns = {
        "answers": measure(network, conversations, **asked),
        "blind": measure(network, conversations, **asked, blank=True),
    }
    if options.uniform:
        columns["uniform frames"] = measure(_network(options.uniform), conversations, **asked, selection="uniform")
    sys.stdout.write(table(columns) + "\n")
    figures = {name: round(tally.accuracy(), 4) for name, tally in columns.items()}
    sys.stdout.write(json.dumps(asked | figures) + "\n")


def _ship(options: argparse.Namespace) -> None:
    from vidsearch.training.ask.ship import ship  # late: needs safetensors, training does not

    network, run = read_run(options.run)
    card = options.card.read_text(encoding="utf-8") if options.card else None
    ship(network, run, options.folder, card)
