"""The task of MobileViCLIP: clips and their captions get vectors that are near each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vidsearch.errors import VidsearchError
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.auxiliary_loss import AttributeClassifier
from vidsearch.training.data import Batch, BatchSource
from vidsearch.training.loss import clamp_temperature, clip_loss
from vidsearch.training.run_folder import Metrics
from vidsearch.training.schedule import lr_factor, parameter_groups
from vidsearch.training.settings import TrainSettings
from vidsearch.training.text_pretraining import TextPretraining
from vidsearch.training.trainer import ParameterGroup, Task, Trainer


class ContrastiveTask(Task):
    """The contrastive loss of a network over the batches of `source`; of the first batch of `validation` if given."""

    def __init__(
        self,
        network: MobileViCLIP,
        source: BatchSource,
        settings: TrainSettings,
        steps: int,
        warm_up: int,
        device: str = "cpu",
        validation: BatchSource | None = None,
    ) -> None:
        self.network = network.to(device)
        self.source, self.validation, self.settings = source, validation, settings
        self.steps, self.warm_up, self.device = steps, warm_up, device
        self.betas = settings.betas
        network.text_encoder.requires_grad_(settings.train_text)
        for parameter in network.parameters():
            if parameter.ndim == 4:  # convolutions are faster so, on CPU and GPU
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.parts = nn.ModuleDict({"network": self.network})
        self.classifier: AttributeClassifier | None = None
        if settings.aux_loss_weight:
            torch.manual_seed(settings.seed)
            self.classifier = AttributeClassifier(network.config.embed_dim).to(device)
            self.parts["reader"] = self.classifier  # the name that checkpoints know

    def pretrain_text(self) -> None:
        """The settings' steps on captions alone, before the run; nothing if there are none."""
        if self.settings.word_steps and self.classifier is not None:
            Trainer(TextPretraining(self.network, self.classifier, self.settings)).run()

    def parameter_groups(self) -> list[ParameterGroup]:
        return parameter_groups(self.parts, self.settings.learning_rate, self.settings.weight_decay)

    def lr_factor(self, step: int) -> float:
        return lr_factor(step, self.steps, self.warm_up)

    def before_step(self) -> None:
        clamp_temperature(self.network.temp)

    def loss(self, step: int) -> Tensor:
        batch = self.source.batch(step)
        videos, texts = self._vectors(batch)
        loss = self._clip_loss(videos, texts, batch)
        if self.classifier is not None:
            weight = self.settings.aux_loss_weight * (1 - step / self.steps)
            loss = loss + weight * self._aux_loss(self.classifier, videos, texts, batch)
        return loss

    def validation_loss(self) -> Tensor | None:
        """Without the auxiliary loss."""
        if self.validation is None:
            return None
        batch = self.validation.batch(0)
        return self._clip_loss(*self._vectors(batch), batch)

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        videos = self.network.encode_video(batch.clips.to(self.device, non_blocking=True))
        return videos, self.network.encode_text(batch.ids.to(self.device, non_blocking=True))

    def _clip_loss(self, videos: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        return clip_loss(videos, texts, self.network.temp, batch.positives.to(self.device))

    def _aux_loss(self, classifier: AttributeClassifier, videos: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        if batch.attribute_labels is None or batch.mentioned is None:
            raise VidsearchError("These data have no attribute labels; set the weight of the auxiliary loss to 0.")
        labels, mentioned = batch.attribute_labels.to(self.device), batch.mentioned.to(self.device)
        return classifier.loss(videos, labels, torch.ones_like(mentioned)) + classifier.loss(texts, labels, mentioned)

    def metrics(self) -> Metrics:
        return {"temperature": round(self.network.temp.item(), 4)}

    def modules(self) -> dict[str, nn.Module]:
        return dict(self.parts.items())

    def train_mode(self) -> None:
        super().train_mode()
        if not self.settings.train_text:
            self.network.text_encoder.eval()  # frozen: its batch norms too

    def state(self) -> dict[str, Any]:
        return self.parts.state_dict()  # the network's own keys start with "network."

    def load_state(self, state: dict[str, Any]) -> None:
        self.parts.load_state_dict(state)
