"""The training loop of the answering model: stages one after the other, each resumable, one line of JSON at a time.

In the --out folder: `stages/NAME.pt`, the weights after each stage; `checkpoint.pt`, the state within the current one;
`metrics.jsonl`; `run.json`, what the run was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn, optim

from vidsearch.errors import VidsearchError
from vidsearch.files import replacing
from vidsearch.training.ask.lora import save_adapter
from vidsearch.training.ask.settings import AskSettings, Stage
from vidsearch.training.ask.stages import Workshop
from vidsearch.training.loop import Metrics, read_checkpoint
from vidsearch.training.schedule import lr_factor

CHECKPOINT_FILE = "checkpoint.pt"
_CLIP_NORM = 1.0


class AskTrainer:
    """Runs the stages of a workshop in one folder."""

    def __init__(self, workshop: Workshop, folder: Path, *, bfloat16: bool = False) -> None:
        self.workshop, self.folder, self.bfloat16 = workshop, folder, bfloat16
        self.settings: AskSettings = workshop.settings

    def run(self, report: Callable[[Metrics], None], every: int = 20, save_every: int = 100) -> None:
        """Run the stages that are not done yet; a stage that was cut off goes on from its last checkpoint."""
        for stage in self.settings.stages:
            done = self._weights_after(stage)
            if done.is_file():
                load_parts(self.workshop, done)
                continue
            self._run_stage(stage, report, every, save_every)
            if stage.name == "tuning":
                save_adapter(self.workshop.network, self.settings.lora, self.folder / "adapter", self.settings.model)
            self.workshop.finish(stage)
            _write({"parts": _states(self.workshop), "optimiser": {}, "step": stage.steps}, done)
            (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def _run_stage(self, stage: Stage, report: Callable[[Metrics], None], every: int, save_every: int) -> None:
        groups = self.workshop.prepare(stage)
        parameters = [p for group in groups for p in group["params"]]
        optimiser = _Optimisers(groups, stage, self.settings.betas)
        checkpoint = self.folder / CHECKPOINT_FILE
        step = self._resume(stage, optimiser) if checkpoint.is_file() else 0
        for part in self.workshop.parts().values():
            part.train()
        losses: list[float] = []
        began = time.perf_counter()
        while step < stage.steps:
            losses.append(self._one_step(stage, step, optimiser, parameters))
            step += 1
            if step % every == 0 or step == stage.steps:
                report(_metrics(stage, step, losses, time.perf_counter() - began))
                losses, began = [], time.perf_counter()
            if step % save_every == 0:
                state = {"parts": _states(self.workshop), "optimiser": optimiser.state_dict(), "step": step}
                _write(state | {"stage": stage.name}, checkpoint)
        for part in self.workshop.parts().values():
            part.eval()

    def _one_step(self, stage: Stage, step: int, optimiser: _Optimisers, parameters: list[nn.Parameter]) -> float:
        optimiser.set_lr(lr_factor(step, stage.steps, round(stage.warm_up * stage.steps)))
        with torch.autocast(self.workshop.device.split(":")[0], torch.bfloat16, enabled=self.bfloat16):
            loss = self.workshop.loss(stage, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        optimiser.step()
        value = loss.item()
        if value != value:  # only NaN differs from itself
            raise VidsearchError(
                f"The loss is not a number at step {step + 1} of {stage.name}; lower its learning rate."
            )
        return value

    def _resume(self, stage: Stage, optimiser: _Optimisers) -> int:
        path = self.folder / CHECKPOINT_FILE
        state = read_checkpoint(path)
        if state.get("stage") != stage.name:
            raise VidsearchError(f"{path} is in the middle of {state.get('stage')}, not of {stage.name}; delete it.")
        _fill(self.workshop, state["parts"], path)
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])

    def _weights_after(self, stage: Stage) -> Path:
        return self.folder / "stages" / f"{stage.name}.pt"


class _Optimisers:
    """AdamW as published; in a stage with a matrix rate, Muon for the weights of the encoder's linear layers.

    Muon: github.com/KellerJordan/Muon, in torch since 2.9. Beside AdamW, an encoder that learns to see from nothing
    found shapes in about half the steps.
    """

    def __init__(self, groups: list[dict[str, Any]], stage: Stage, betas: tuple[float, float]) -> None:
        matrices: list[nn.Parameter] = []
        if stage.muon_lr is not None:
            matrices = [p for group in groups for p in group["params"] if p.ndim == 2 and id(p) in group["matrices"]]
        chosen = {id(p) for p in matrices}
        rest = [{"params": [p for p in g["params"] if id(p) not in chosen], "rate": g["rate"]} for g in groups]
        self.each: list[optim.Optimizer] = [optim.AdamW(rest, lr=0.0, betas=betas, weight_decay=stage.weight_decay)]
        if matrices:
            group = {"params": matrices, "rate": stage.muon_lr}
            decay = stage.weight_decay
            self.each.append(optim.Muon([group], lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))

    def set_lr(self, part: float) -> None:
        for optimiser in self.each:
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * part

    def zero_grad(self) -> None:
        for optimiser in self.each:
            optimiser.zero_grad(set_to_none=True)

    def step(self) -> None:
        for optimiser in self.each:
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        return {"each": [optimiser.state_dict() for optimiser in self.each]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimiser, own in zip(self.each, state["each"], strict=True):
            optimiser.load_state_dict(own)


def load_parts(workshop: Workshop, path: Path, only: Sequence[str] = ()) -> None:
    """Fill the workshop from the weights after a stage; `only`: names of parts, and no others."""
    _fill(workshop, read_checkpoint(path)["parts"], path, only)


def _fill(workshop: Workshop, states: dict[str, Any], path: Path, only: Sequence[str] = ()) -> None:
    try:
        for name, part in workshop.parts().items():
            if not only or name in only:
                part.load_state_dict(states[name])
    except (RuntimeError, KeyError) as error:
        raise VidsearchError(f"{path} is of another network; choose another --out folder.") from error


def _states(workshop: Workshop) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in workshop.parts().items()}


def _write(state: dict[str, Any], path: Path) -> None:
    """A reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save(state, partial)


def _metrics(stage: Stage, step: int, losses: list[float], seconds: float) -> Metrics:
    return {
        "stage": stage.name,
        "step": step,
        "steps": stage.steps,
        "loss": round(sum(losses) / len(losses), 4),
        "seconds_per_step": round(seconds / len(losses), 3),
    }


_FORMER_NAMES = {
    "from_nothing": "from_scratch",
    "claim_weight": "truth_weight",
    "projector_rate": "projector_lr",
    "encoder_rate": "encoder_lr",
    "matrix_rate": "muon_lr",
    "facts_weight": "probe_weight",
}  # of settings, in the run.json of earlier versions


def settings_from(values: dict[str, Any]) -> AskSettings:
    """What `dataclasses.asdict` made of settings, read back; of an earlier version too."""
    values = _renamed(values)
    lora = type(AskSettings("").lora)(**values["lora"])
    stages = tuple(Stage(**_renamed(stage)) for stage in values["stages"])
    known = {field.name for field in dataclasses.fields(AskSettings)} - {"lora", "stages", "betas"}
    rest = {name: values[name] for name in known}
    return AskSettings(**rest, lora=lora, stages=stages, betas=tuple(values["betas"]))


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
