"""The training loop: steps, metrics, checkpoints that resume exactly."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidsearch.errors import VidsearchError
from vidsearch.files import replacing
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.auxiliary_loss import AttributeClassifier
from vidsearch.training.data import Batch, BatchSource
from vidsearch.training.loss import clamp_temperature, clip_loss
from vidsearch.training.schedule import lr_factor, make_optimiser
from vidsearch.training.settings import TrainSettings
from vidsearch.training.text_pretraining import pretrain_text

log = logging.getLogger(__name__)
Metrics = dict[str, Any]


class Trainer:
    """One run: the network, its optimiser and the number of the next step.

    Batches depend on the step alone and nothing else is random, so a checkpoint of (network, optimiser, step) is enough
    to go on bit for bit on one machine with the same number of threads.
    """

    def __init__(
        self,
        network: MobileViCLIP,
        source: BatchSource,
        settings: TrainSettings,
        steps: int,
        warm_up: int,
        device: str = "cpu",
        bfloat16: bool = False,
    ) -> None:
        self.network = network.to(device)
        self.source, self.settings = source, settings
        self.steps, self.warm_up = steps, warm_up
        self.device, self.bfloat16 = device, bfloat16
        self.step = 0
        network.text_encoder.requires_grad_(settings.train_text)
        for parameter in network.parameters():
            if parameter.ndim == 4:  # convolutions are faster so, on CPU and GPU
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.parts = nn.ModuleDict({"network": self.network})
        self.reader: AttributeClassifier | None = None
        if settings.aux_loss_weight:
            torch.manual_seed(settings.seed)
            self.reader = AttributeClassifier(network.config.embed_dim).to(device)
            self.parts["reader"] = self.reader
        self.optimiser = make_optimiser(self.parts, settings)

    def run(self, until: int, every: int = 20, report: Callable[[Metrics], None] | None = None) -> None:
        """Train up to step `until` (at most `steps`); `report` gets the metrics of each `every` steps."""
        self.network.train()
        if not self.settings.train_text:
            self.network.text_encoder.eval()  # frozen: its batch norms too
        losses: list[float] = []
        began = time.perf_counter()
        while self.step < min(until, self.steps):
            losses.append(self._one_step())
            if self.step % every == 0 or self.step == self.steps:
                if report is not None:
                    report(self._metrics(losses, time.perf_counter() - began))
                losses, began = [], time.perf_counter()

    def _one_step(self) -> float:
        rate = self.settings.learning_rate * lr_factor(self.step, self.steps, self.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        clamp_temperature(self.network.temp)
        batch = self.source.batch(self.step)
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bfloat16):
            loss = self._loss(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        self.optimiser.step()
        self.step += 1
        value = loss.item()
        if value != value:  # only NaN differs from itself
            raise VidsearchError(
                f"The loss is not a number at step {self.step}; lower --learning-rate and start again."
            )
        return value

    def _loss(self, batch: Batch) -> Tensor:
        videos = self.network.encode_video(batch.clips.to(self.device, non_blocking=True))
        texts = self.network.encode_text(batch.ids.to(self.device, non_blocking=True))
        loss = clip_loss(videos, texts, self.network.temp, batch.positives.to(self.device))
        if self.reader is not None:
            loss = loss + self._aux_loss(self.reader, videos, texts, batch)
        return loss

    def _aux_loss(self, reader: AttributeClassifier, videos: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        if batch.attribute_labels is None or batch.mentioned is None:
            raise VidsearchError("These data have no labels to read; set the reading weight to 0.")
        attribute_labels, mentioned = batch.attribute_labels.to(self.device), batch.mentioned.to(self.device)
        read = reader.loss(videos, attribute_labels, torch.ones_like(mentioned)) + reader.loss(
            texts, attribute_labels, mentioned
        )
        return self.settings.aux_loss_weight * (1 - self.step / self.steps) * read

    def _metrics(self, losses: list[float], seconds: float) -> Metrics:
        return {
            "step": self.step,
            "steps": self.steps,
            "loss": round(sum(losses) / len(losses), 4),
            "temperature": round(self.network.temp.item(), 4),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "seconds_per_step": round(seconds / len(losses), 3),
        }

    def pretrain_text(self) -> None:
        """`settings.word_steps` steps of `text_pretraining.pretrain_text`, only before the first step."""
        if self.settings.word_steps and self.step == 0 and self.reader is not None:
            pretrain_text(self.network, self.reader, self.settings)

    def save(self, path: Path) -> None:
        """Write a checkpoint; a reader sees the old one or the new one, never half of one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "parts": self.parts.state_dict(),  # the network's own keys start with "network."
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "steps": self.steps,
        }
        with replacing(path) as partial:
            torch.save(state, partial)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of the same run; VidsearchError where it cannot be read or is of another network."""
        state = read_checkpoint(path)
        try:
            self.parts.load_state_dict(state["parts"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise VidsearchError(
                f"{path} is a checkpoint of another network or of other settings; choose another --out folder."
            ) from error
        self.step = state["step"]
        log.info("resumed %s at step %d", path, self.step)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint that `Trainer.save` wrote; VidsearchError where it is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise VidsearchError(f"There is no checkpoint {path}; start the run without --resume.") from None
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        raise VidsearchError(f"{path} is not a checkpoint of a training run, or it is damaged.") from error
    if not isinstance(state, dict) or not {"parts", "optimiser", "step"} <= state.keys():
        raise VidsearchError(f"{path} is not a checkpoint of a training run.")
    return state


@torch.no_grad()
def init_from_scratch(network: MobileViCLIP, seed: int) -> None:
    """Give the parts that the published networks start near zero values to start from, in place.

    Those start from a picture model: their temporal parts are zero and their linear layers small. A small network that
    is trained from nothing learns sooner when frames, and words, are told apart from the first step.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if ".temporal.conv.weight" in name or name.endswith("temporal_embedding"):
            nn.init.normal_(parameter, std=0.3, generator=generator)
        if name.endswith("pos_embed.pos_embed"):
            parameter.copy_(0.5 * _sinusoids(*parameter.shape[2:]))
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)
    nn.init.normal_(network.text_encoder.embedding_layer.weight, std=0.5, generator=generator)


def _sinusoids(positions: int, width: int) -> Tensor:
    """Sines and cosines of the position, 3 to 80 tokens long, (positions, width): "earlier" is there to be read."""
    lengths = torch.exp(torch.linspace(math.log(3.0), math.log(80.0), width // 2))
    turns = 2 * math.pi * torch.arange(positions)[:, None] / lengths
    return torch.cat([turns.sin(), turns.cos()], 1)


def metrics_line(metrics: Metrics) -> str:
    """One line of JSON."""
    return json.dumps(metrics)
