"""One trainer for every task: steps, metrics with the validation loss, checkpoints that resume exactly."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn, optim

from vidsearch.errors import VidsearchError
from vidsearch.training.run_folder import Metrics, read_checkpoint, write_checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share the learning rate `lr`, which the schedule multiplies, and the weight decay."""

    parameters: list[nn.Parameter]
    lr: float
    weight_decay: float = 0.0


class Task(ABC):
    """What is trained, on what, with which loss.

    The loss of a step depends on the step alone and nothing else is random, so a checkpoint of (networks, optimisers,
    step) is enough to go on bit for bit on one machine with the same number of threads.
    """

    name: ClassVar[str] = ""  # of a stage, in metrics, checkpoints and messages
    steps: int
    device: str = "cpu"
    betas: tuple[float, float] = (0.9, 0.98)
    muon_lr: float | None = None  # of Muon, which then trains those of the parameters that `matrices` names
    max_gradient_norm: float | None = None

    @abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """What is trained. Called once, before the first step; may freeze or add parameters."""

    @abstractmethod
    def loss(self, step: int) -> Tensor:
        """The loss of one step, a scalar."""

    @abstractmethod
    def lr_factor(self, step: int) -> float:
        """By what the learning rates are multiplied at this step."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """The networks by the names that checkpoints know; in training mode between steps, else in evaluation mode."""

    def state(self) -> dict[str, Any]:
        """The weights that a checkpoint holds."""
        return {name: module.state_dict() for name, module in self.modules().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the weights of a checkpoint; KeyError or RuntimeError if they are of other networks."""
        for name, module in self.modules().items():
            module.load_state_dict(state[name])

    def matrices(self) -> frozenset[int]:
        """The ids of the parameters that Muon trains if `muon_lr` is given."""
        return frozenset()

    def before_step(self) -> None:  # noqa: B027  # most tasks do nothing
        """What is done to the weights before each step."""

    def validation_loss(self) -> Tensor | None:
        """The loss of held-out data, always the same; None if there are none."""
        return None

    def metrics(self) -> Metrics:
        """What the task adds to the metrics."""
        return {}

    def train_mode(self) -> None:
        """Put the networks into training mode."""
        for module in self.modules().values():
            module.train()

    def eval_mode(self) -> None:
        """Put the networks into evaluation mode."""
        for module in self.modules().values():
            module.eval()


class Trainer:
    """Trains one task, from its first step or from a checkpoint; `step` is the number of the next step."""

    def __init__(self, task: Task, *, bfloat16: bool = False) -> None:
        self.task, self.bfloat16 = task, bfloat16
        self.step = 0
        groups = task.parameter_groups()
        self._parameters = [parameter for group in groups for parameter in group.parameters]
        self.optimisers = Optimisers(groups, task)

    def run(
        self,
        until: int | None = None,
        *,
        every: int = 20,
        report: Callable[[Metrics], None] | None = None,
        checkpoint: Path | None = None,
        save_every: int = 100,
        validate_every: int = 100,
    ) -> None:
        """Train up to step `until` (by default to the end).

        `report` gets the metrics of each `every` steps; they hold the validation loss at the first report at or after
        each `validate_every` steps (0: never). `checkpoint` is written each `save_every` steps and after the last one.
        """
        end = min(self.task.steps, until if until is not None else self.task.steps)
        self.task.train_mode()
        losses: list[float] = []
        began = time.perf_counter()
        while self.step < end:
            losses.append(self._one_step())
            last = self.step == self.task.steps
            if report is not None and (self.step % every == 0 or last):
                seconds = time.perf_counter() - began
                validates = validate_every > 0 and (last or self.step % validate_every < every)
                report(self._metrics(losses, seconds, self.validation_loss() if validates else None))
                losses, began = [], time.perf_counter()
            if checkpoint is not None and (self.step % save_every == 0 or last):
                self.save(checkpoint)
        self.task.eval_mode()

    def _one_step(self) -> float:
        self.optimisers.set_lr(self.task.lr_factor(self.step))
        self.task.before_step()
        with self._autocast():
            loss = self.task.loss(self.step)
        self.optimisers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        if self.task.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.task.max_gradient_norm)
        self.optimisers.step()
        self.step += 1
        value = loss.item()
        if math.isnan(value):
            place = f"step {self.step} of {self.task.name}" if self.task.name else f"step {self.step}"
            raise VidsearchError(f"The loss is not a number at {place}; lower the learning rate and start again.")
        return value

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.task.device.split(":")[0], torch.bfloat16, enabled=self.bfloat16)

    def validation_loss(self) -> float | None:
        """The task's loss of held-out data, in evaluation mode; None if it has none."""
        self.task.eval_mode()
        with torch.no_grad(), self._autocast():
            loss = self.task.validation_loss()
        self.task.train_mode()
        return None if loss is None else loss.item()

    def _metrics(self, losses: list[float], seconds: float, validation: float | None) -> Metrics:
        return {
            **({"stage": self.task.name} if self.task.name else {}),
            "step": self.step,
            "steps": self.task.steps,
            "loss": round(sum(losses) / len(losses), 4),
            **({} if validation is None else {"validation_loss": round(validation, 4)}),
            **self.task.metrics(),
            "learning_rate": self.optimisers.lr,
            "seconds_per_step": round(seconds / len(losses), 3),
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        write_checkpoint(
            path,
            parts=self.task.state(),
            optimiser=self.optimisers.state_dict(),
            step=self.step,
            steps=self.task.steps,
            stage=self.task.name,
        )

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same task; VidsearchError if it cannot be read or is of another one."""
        state = read_checkpoint(path)
        if state.get("stage", "") != self.task.name:
            raise VidsearchError(f"{path} is in the middle of {state['stage']}, not of {self.task.name}; delete it.")
        try:
            self.task.load_state(state["parts"])
            self.optimisers.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise VidsearchError(
                f"{path} is a checkpoint of another network or of other settings; choose another --out folder."
            ) from error
        self.step = int(state["step"])
        log.info("resumed %s at step %d", path, self.step)


class Optimisers:
    """AdamW as published and, for a task with a `muon_lr`, Muon for its matrices.

    Muon: github.com/KellerJordan/Muon, in torch since 2.9. Beside AdamW, an encoder that learns to see from scratch
    found shapes in about half the steps.
    """

    def __init__(self, groups: list[ParameterGroup], task: Task) -> None:
        matrices = task.matrices() if task.muon_lr is not None else frozenset()
        chosen = [p for group in groups for p in group.parameters if p.ndim == 2 and id(p) in matrices]
        taken = {id(parameter) for parameter in chosen}
        adamw = [
            {"params": [p for p in g.parameters if id(p) not in taken], "lr": g.lr, "weight_decay": g.weight_decay}
            for g in groups
        ]
        self.each: list[optim.Optimizer] = [optim.AdamW(adamw, betas=task.betas)]
        if chosen:
            assert task.muon_lr is not None  # else nothing is chosen
            decay = groups[0].weight_decay
            self.each.append(optim.Muon(chosen, lr=task.muon_lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
        self._peaks = [[float(group["lr"]) for group in optimiser.param_groups] for optimiser in self.each]

    @property
    def lr(self) -> float:
        """The learning rate of the first group, as set last."""
        return float(self.each[0].param_groups[0]["lr"])

    def set_lr(self, factor: float) -> None:
        """Set every learning rate to its peak times `factor`."""
        for optimiser, peaks in zip(self.each, self._peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * factor

    def zero_grad(self) -> None:
        for optimiser in self.each:
            optimiser.zero_grad(set_to_none=True)

    def step(self) -> None:
        for optimiser in self.each:
            optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        return {"each": [optimiser.state_dict() for optimiser in self.each]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Also reads what an earlier version wrote for AdamW alone."""
        for optimiser, own in zip(self.each, state.get("each", [state]), strict=True):
            optimiser.load_state_dict(own)
