"""The text encoder learns to tell sentences apart before it meets a clip.

Who overtakes whom, and what comes first, is in the order of the words. Beside clips the text encoder finds that late
(in one run of the nano model not within a thousand steps): a sentence without order already explains most clips. On
sentences alone, most of them about order, it takes a few hundred steps that cost a tenth of those with clips.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.auxiliary_loss import AttributeClassifier
from vidsearch.training.data import token_rows
from vidsearch.training.settings import TrainSettings
from vidsearch.training.trainer import ParameterGroup, Task
from vidsearch.training.world.samples import caption_batch
from vidsearch.training.world.scene import Extent

# Sequences and overtaking in three of four sentences.
ABOUT_ORDER = Extent(mix=(0.20, 0.45, 0.05))
_WARM_UP_STEPS = 50


class TextPretraining(Task):
    """Trains the text encoder and the classifier on captions alone, in place; depends on the seed and nothing else."""

    def __init__(self, network: MobileViCLIP, classifier: AttributeClassifier, settings: TrainSettings) -> None:
        self.network, self.classifier, self.settings = network, classifier, settings
        self.steps, self.betas = settings.word_steps, settings.betas
        self.device = str(network.temp.device)

    def parameter_groups(self) -> list[ParameterGroup]:
        parameters = [*self.network.text_encoder.parameters(), *self.classifier.parameters()]
        return [ParameterGroup(parameters, self.settings.learning_rate)]

    def lr_factor(self, step: int) -> float:
        left = 1 - step / self.steps
        return min(1.0, (step + 1) / _WARM_UP_STEPS, 0.02 + 1.6 * left)

    def loss(self, step: int) -> Tensor:
        texts, labels, mentioned = caption_batch(self.settings.seed, step, self.settings.batch, ABOUT_ORDER)
        vectors = self.network.encode_text(token_rows(texts).to(self.device))
        return self.classifier.loss(
            vectors, torch.from_numpy(labels).long().to(self.device), torch.from_numpy(mentioned).to(self.device)
        )

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network, "classifier": self.classifier}
