"""The stages of training Mobile-VideoGPT: what each trains, on what, with which loss.

Source: Mobile-VideoGPT section 4 and figure 2, and the released training programs: projectors first, each alone, then
both with low-rank adapters of the language model. A model that is trained from scratch has its encoders and its
language made before.

Axes: B clips, F frames, L patch tokens of a frame, D width, V visual tokens, d language model's width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.training.ask.clips import RenderedClip
from vidsearch.training.ask.conversation import answer_loss
from vidsearch.training.ask.encode import encode
from vidsearch.training.ask.encoder_pretraining import (
    draw_meanings,
    image_encoder_loss,
    video_encoder_loss,
    video_token_loss,
)
from vidsearch.training.ask.initialisation import resample_patch_embed
from vidsearch.training.ask.lora import adapt, merge, save_adapter
from vidsearch.training.ask.questions import KINDS, QuestionGenerator, described
from vidsearch.training.ask.settings import AskSettings, StageSettings
from vidsearch.training.ask.trained_parts import TrainedParts
from vidsearch.training.schedule import lr_factor
from vidsearch.training.trainer import ParameterGroup, Task
from vidsearch.training.world.scene import SceneAttributes

STILL_KINDS = ("what", "colour", "count", "size", "background", "is there", "can't tell")  # one frame answers these
_SLOTS = 40  # places over which the words of a description are spread in the language stage
Trained = list[tuple[float, list[nn.Parameter]]]  # learning rates, and the parameters that have them


class Stage(Task):
    """One stage. Its batch depends on the seed, the stage's name and the step alone."""

    name: ClassVar[str]
    leaves: ClassVar[tuple[tuple[str, str], ...]]  # what it has trained: parts, and how their keys begin
    max_gradient_norm = 1.0

    def __init__(self, parts: TrainedParts, settings: StageSettings) -> None:
        self.parts, self.settings = parts, settings
        self.network, self.config = parts.network, parts.network.config
        self.steps, self.device, self.betas = settings.steps, parts.device, parts.settings.betas
        self.muon_lr = settings.muon_lr

    @abstractmethod
    def trained(self) -> Trained:
        """What the stage trains; it may add adapters to the network."""

    @abstractmethod
    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        """The loss of clips that show `meanings`. `held_out`: questions are asked in the way kept for evaluation."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Freeze all that the stage does not train."""
        for part in self.modules().values():
            part.requires_grad_(False)
        groups = [ParameterGroup(each, lr, self.settings.weight_decay) for lr, each in self.trained()]
        for group in groups:
            for parameter in group.parameters:
                parameter.requires_grad_(True)
        return groups

    def matrices(self) -> frozenset[int]:
        return self.parts.block_matrices()

    def lr_factor(self, step: int) -> float:
        return lr_factor(step, self.steps, round(self.settings.warm_up * self.steps))

    def modules(self) -> dict[str, nn.Module]:
        return self.parts.modules()

    def loss(self, step: int) -> Tensor:
        return self._drawn_loss(np.random.default_rng((self.parts.settings.seed, self._number, step)), held_out=False)

    def validation_loss(self) -> Tensor:
        """The stage's loss on one batch of held-out meanings."""
        return self._drawn_loss(np.random.default_rng((self.parts.settings.seed, self._number)), held_out=True)

    def _drawn_loss(self, rng: np.random.Generator, *, held_out: bool) -> Tensor:
        meanings = draw_meanings(rng, self.settings.batch, held_out=held_out)
        return self.batch_loss(meanings, rng, held_out=held_out)

    @property
    def _number(self) -> int:
        """The stage's part of the seed."""
        return sum(map(ord, self.name))

    def finish(self, folder: Path) -> None:  # most stages have nothing left to do
        """What is done once, after the last step; `folder` is the run's."""


class ImageEncoderStage(Stage):
    """The image tower learns to see single frames; a probe reads from it."""

    name = "image-encoder"
    leaves = (("image_tower", ""), ("image_reader", ""))

    def trained(self) -> Trained:
        parameters = [*self.network.image_tower.parameters(), *self.parts.image_probe.parameters()]
        return [(self.settings.learning_rate, parameters)]

    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        return image_encoder_loss(self.network.image_tower, self.parts.image_probe, meanings, rng, self.config)


class VideoEncoderStage(Stage):
    """The video encoder learns to see motion; a probe reads from it."""

    name = "video-encoder"
    leaves = (("network", "model.vision_tower."), ("video_reader", ""))

    def trained(self) -> Trained:
        parameters = [*self.network.model.vision_tower.parameters(), *self.parts.video_probe.parameters()]
        return [(self.settings.learning_rate, parameters)]

    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        return video_encoder_loss(self.network.model.vision_tower, self.parts.video_probe, meanings, rng, self.config)


class CoarseVideoEncoderStage(Stage):
    """An encoder with larger patches learns the same in a fraction of the time; the video encoder starts from it."""

    name = "coarse-video-encoder"
    leaves = VideoEncoderStage.leaves

    def trained(self) -> Trained:
        parameters = [*self.parts.coarse_encoder.parameters(), *self.parts.video_probe.parameters()]
        return [(self.settings.learning_rate, parameters)]

    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        encoder, config = self.parts.coarse_encoder, self.parts.coarse_config
        return video_encoder_loss(encoder, self.parts.video_probe, meanings, rng, config)

    def finish(self, folder: Path) -> None:
        resample_patch_embed(self.network.model.vision_tower, self.parts.coarse_encoder)


class AnswerStage(Stage):
    """A stage whose loss is that of answers to questions, read from visual tokens."""

    kinds: ClassVar[tuple[str, ...]] = KINDS

    def answers_loss(
        self, meanings: list[SceneAttributes], visual: Tensor, rng: np.random.Generator, *, held_out: bool
    ) -> Tensor:
        """Of questions about each meaning; visual (B, V, d)."""
        generator = QuestionGenerator(rng, held_out=held_out)
        each = self.settings.questions
        questions = [q for meaning in meanings for q in generator.several(meaning, each, self.kinds)]
        conversations, weight = self.parts.conversations, self.parts.settings.truth_weight
        rows = conversations.rows(questions).to(self.device)
        probe = self.parts.truth_probe if weight else None
        loss, truth_loss = answer_loss(self.network, conversations, visual, rows, each, probe)
        return loss + weight * truth_loss


class LanguageStage(AnswerStage):
    """The language model answers about a sentence that stands where the frames will be."""

    name = "language"
    leaves = (
        ("network", "model.embed_tokens."),
        ("network", "model.layers."),
        ("network", "model.norm."),
        ("claim_reader", ""),
    )

    def trained(self) -> Trained:
        inner = self.network.model
        language = [*inner.embed_tokens.parameters(), *inner.layers.parameters(), *inner.norm.parameters()]
        return [(self.settings.learning_rate, [*language, *self.parts.truth_probe.parameters()])]

    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        """The words of the description are spread over the places of the visual tokens."""
        table = self.network.model.embed_tokens.weight
        noise = torch.from_numpy(rng.standard_normal((len(meanings), _SLOTS, table.shape[1]), dtype=np.float32))
        visual = 0.3 * noise.to(self.device) * table.detach().std()
        for row, meaning in enumerate(meanings):
            ids = self.parts.conversations.tokenizer.encode(described(meaning)).ids
            places = np.sort(rng.permutation(_SLOTS)[: len(ids)])
            visual = visual.index_put((torch.full((len(ids),), row), torch.from_numpy(places)), table[ids])
        return self.answers_loss(meanings, visual, rng, held_out=held_out)


class VisualStage(AnswerStage):
    """Answers about clips, through the encoders and the projectors."""

    trains_encoder = False  # whether gradients reach the video encoder

    def batch_loss(self, meanings: list[SceneAttributes], rng: np.random.Generator, *, held_out: bool) -> Tensor:
        clips = [RenderedClip(meaning, rng, self.config) for meaning in meanings]
        features, chosen, tokens = encode(
            self.network, clips, self.parts.settings.selection, self.device, learning=self.trains_encoder
        )
        loss = self.answers_loss(meanings, self.network.visual_tokens(features, tokens), rng, held_out=held_out)
        if self.trains_encoder and self.settings.probe_weight:
            probed = video_token_loss(tokens, self.parts.video_probe, clips, chosen, self.config)
            loss = loss + self.settings.probe_weight * probed
        return loss


class ImageProjectorStage(VisualStage):
    """The projector of the image tower alone, on questions that one frame answers."""

    name = "image-projector"
    leaves = (("network", "model.image_mm_projector."),)
    kinds = STILL_KINDS

    def trained(self) -> Trained:
        return [(self.settings.learning_rate, list(self.network.model.image_mm_projector.parameters()))]


class VideoProjectorStage(VisualStage):
    """The projector of the video encoder alone."""

    name = "video-projector"
    leaves = (("network", "model.mm_projector."),)

    def trained(self) -> Trained:
        return [(self.settings.learning_rate, list(self.network.model.mm_projector.parameters()))]


class TuningStage(VisualStage):
    """Both projectors, and adapters of the language model, which become part of its weights at the end.

    If the settings give the video encoder a learning rate, it is trained on; as published it is frozen.
    """

    name = "tuning"
    leaves = (("network", "model."), ("video_reader", ""), ("claim_reader", ""))

    def __init__(self, parts: TrainedParts, settings: StageSettings) -> None:
        super().__init__(parts, settings)
        self.trains_encoder = settings.encoder_lr is not None

    def trained(self) -> Trained:
        inner, settings = self.network.model, self.settings
        projectors = [*inner.image_mm_projector.parameters(), *inner.mm_projector.parameters()]
        adapters = [*adapt(self.network, self.parts.settings.lora), *self.parts.truth_probe.parameters()]
        trained = [(settings.learning_rate, adapters), (settings.projector_lr or settings.learning_rate, projectors)]
        if settings.encoder_lr is not None:
            encoder = [*inner.vision_tower.parameters(), *self.parts.video_probe.parameters()]
            trained.append((settings.encoder_lr, encoder))
        return trained

    def finish(self, folder: Path) -> None:
        run = self.parts.settings
        save_adapter(self.network, run.lora, folder / "adapter", run.model)
        merge(self.network)


STAGES: dict[str, type[Stage]] = {
    stage.name: stage
    for stage in (
        ImageEncoderStage,
        CoarseVideoEncoderStage,
        VideoEncoderStage,
        LanguageStage,
        ImageProjectorStage,
        VideoProjectorStage,
        TuningStage,
    )
}  # in the order in which `--from` takes over what they leave


def make_parts(network: MobileVideoGPT, settings: AskSettings, device: str = "cpu") -> TrainedParts:
    """The network with what the stages of the settings need beside it."""
    coarse = any(STAGES[stage.name] is CoarseVideoEncoderStage for stage in settings.stages)
    return TrainedParts(network, settings, device, with_coarse_encoder=coarse)


def make_stages(parts: TrainedParts) -> Iterator[Stage]:
    """The stages of the settings, in their order."""
    return (STAGES[settings.name](parts, settings) for settings in parts.settings.stages)
