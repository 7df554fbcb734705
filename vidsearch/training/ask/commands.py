"""The commands of the answering model's training: ask, evaluate-ask, ship-ask."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidsearch.errors import VidsearchError
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.settings import AskSettings, default_settings
from vidsearch.training.loop import Metrics, metrics_line, read_checkpoint

if TYPE_CHECKING:  # what needs a tokenizer is imported late: MobileViCLIP trains with numpy and torch alone
    from vidsearch.training.ask.stages import Workshop

RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
# What a stage leaves behind: parts, and the keys of them that are its own. The adapters of "tuning" are merged.
_LANGUAGE = ("model.embed_tokens.", "model.layers.", "model.norm.")
_LEFT_BEHIND: dict[str, dict[str, tuple[str, ...]]] = {
    "image-encoder": {"image_tower": ("",), "image_reader": ("",)},
    "coarse-video-encoder": {"network": ("model.vision_tower.",), "video_reader": ("",)},
    "video-encoder": {"network": ("model.vision_tower.",), "video_reader": ("",)},
    "language": {"network": _LANGUAGE, "claim_reader": ("",)},
    "image-projector": {"network": ("model.image_mm_projector.",)},
    "video-projector": {"network": ("model.mm_projector.",)},
    "tuning": {"network": ("model.",), "video_reader": ("",), "claim_reader": ("",)},
}


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
    from vidsearch.training.ask.run import AskTrainer
    from vidsearch.training.ask.stages import Workshop

    settings = _settings(options)
    network = _start(settings, options.weights)
    workshop = Workshop(network.to(options.device), settings, options.device)
    for run in options.runs:
        _take_over(workshop, run)
    options.out.mkdir(parents=True, exist_ok=True)
    _write_run_file(options.out, settings, options.command)
    with (options.out / METRICS_FILE).open("a", encoding="utf-8") as lines:

        def report(metrics: Metrics) -> None:
            for stream in (sys.stdout, lines):
                stream.write(metrics_line(metrics) + "\n")
                stream.flush()

        AskTrainer(workshop, options.out, bfloat16=options.bfloat16).run(report, options.every, options.save_every)


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
    from vidsearch.training.ask.stages import init_from_scratch

    torch.manual_seed(settings.seed)
    network = MobileVideoGPT(CONFIGS[settings.model])
    init_from_scratch(network, settings.seed)
    return network


def _take_over(workshop: Workshop, run: Path) -> None:
    """What another run has made in its stages."""
    found = False
    for stage, parts in _LEFT_BEHIND.items():
        path = run / "stages" / f"{stage}.pt"
        if path.is_file():
            found = True
            states = read_checkpoint(path)["parts"]
            for part, fronts in parts.items():
                target = workshop.parts()[part]
                taken = {key: value for key, value in states[part].items() if key.startswith(fronts)}
                target.load_state_dict(target.state_dict() | taken)
    if not found:
        raise VidsearchError(
            f"{run} has finished no stage that can be taken over; name the --out folder of a run that has."
        )


def _write_run_file(folder: Path, settings: AskSettings, command: str) -> None:
    run = {"settings": dataclasses.asdict(settings), "command": command}
    (folder / RUN_FILE).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def read_run(folder: Path) -> tuple[MobileVideoGPT, dict[str, Any]]:
    """The network of a run after its last stage, adapters merged, in eval mode, and what run.json says."""
    from vidsearch.training.ask.run import load_parts, settings_from
    from vidsearch.training.ask.stages import Workshop

    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VidsearchError(
            f"{folder / RUN_FILE} cannot be read ({error}); name the --out folder of a run."
        ) from error
    settings = settings_from(run["settings"])
    network = MobileVideoGPT(CONFIGS[settings.model])
    load_parts(Workshop(network, settings), folder / "stages" / f"{settings.stages[-1].name}.pt")
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
