"""A run of the answering model's training: stages one after the other, each resumable.

In the --out folder: `stages/NAME.pt`, the weights after each stage; `checkpoint.pt`, the state within the current one;
`adapter/`, the low-rank adapters of the last stage; `metrics.jsonl`; `run.json`, what the run was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidsearch.errors import VidsearchError
from vidsearch.training.ask.lora import LoraSettings
from vidsearch.training.ask.settings import AskSettings, StageSettings
from vidsearch.training.ask.stages import STAGES, Stage, make_stages
from vidsearch.training.ask.trained_parts import TrainedParts
from vidsearch.training.run_folder import CHECKPOINT_FILE, Metrics, read_checkpoint, write_checkpoint
from vidsearch.training.trainer import Trainer

_FORMER_NAMES = {
    "from_nothing": "from_scratch",
    "claim_weight": "truth_weight",
    "projector_rate": "projector_lr",
    "encoder_rate": "encoder_lr",
    "matrix_rate": "muon_lr",
    "facts_weight": "probe_weight",
}  # of settings, in the run.json of earlier versions


def run_stages(
    parts: TrainedParts,
    folder: Path,
    report: Callable[[Metrics], None] | None = None,
    *,
    bfloat16: bool = False,
    every: int = 20,
    save_every: int = 100,
    validate_every: int = 100,
) -> None:
    """Run the stages that are not done yet; a stage that was cut off goes on from its last checkpoint."""
    for stage in make_stages(parts):
        done = weights_after(folder, stage.name)
        if done.is_file():
            load_weights(stage, done)
            continue
        trainer = Trainer(stage, bfloat16=bfloat16)
        checkpoint = folder / CHECKPOINT_FILE
        if checkpoint.is_file():
            trainer.resume(checkpoint)
        trainer.run(
            every=every, report=report, checkpoint=checkpoint, save_every=save_every, validate_every=validate_every
        )
        stage.finish(folder)
        write_checkpoint(done, parts=stage.state(), optimiser={}, step=stage.steps)
        checkpoint.unlink(missing_ok=True)


def weights_after(folder: Path, stage: str) -> Path:
    """The file with the weights of a run after the stage of this name."""
    return folder / "stages" / f"{stage}.pt"


def load_weights(stage: Stage, path: Path) -> None:
    """Fill all parts from the weights after a stage; VidsearchError if they are of another network."""
    try:
        stage.load_state(read_checkpoint(path)["parts"])
    except (RuntimeError, KeyError) as error:
        raise VidsearchError(f"{path} is of another network; choose another --out folder.") from error


def take_over(parts: TrainedParts, run: Path) -> None:
    """What another run has made in its finished stages; VidsearchError if it has finished none."""
    found = [stage for stage in STAGES.values() if weights_after(run, stage.name).is_file()]
    if not found:
        raise VidsearchError(
            f"{run} has finished no stage that can be taken over; name the --out folder of a run that has."
        )
    modules = parts.modules()
    for stage in found:
        states = read_checkpoint(weights_after(run, stage.name))["parts"]
        for part, front in stage.leaves:
            taken = {key: value for key, value in states[part].items() if key.startswith(front)}
            modules[part].load_state_dict(modules[part].state_dict() | taken)


def settings_from(values: dict[str, Any]) -> AskSettings:
    """What `dataclasses.asdict` made of settings, read back; of an earlier version too."""
    values = _renamed(values)
    values["stages"] = tuple(StageSettings(**_renamed(stage)) for stage in values["stages"])
    return AskSettings(**values | {"lora": LoraSettings(**values["lora"]), "betas": tuple(values["betas"])})


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
