"""What each stage trains, on what, with which loss.

Source: Mobile-VideoGPT section 4 and figure 2, and the released training programs: projectors first, each alone, then
both with low-rank adapters of the language model. A model from nothing has its encoders and its language made before.

Axes: B clips, F frames, L patch tokens of a frame, D width, C chunks, V visual tokens, d language model's width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.clips import RenderedClip, even_frames, image_pixels, video_pixels
from vidsearch.training.ask.conversation import Conversations, TruthProbe, answer_loss
from vidsearch.training.ask.encoder_pretraining import (
    STILL_FIELDS,
    AttributeProbe,
    draw_meanings,
    image_losses,
    init_image_tower,
    init_video_encoder,
    resample_patch_embed,
    video_losses,
    video_token_losses,
)
from vidsearch.training.ask.lora import adapt, merge
from vidsearch.training.ask.questions import KINDS, QuestionGenerator, described
from vidsearch.training.ask.settings import AskSettings, Selection, Stage
from vidsearch.training.ask.vocabulary import build_tokenizer
from vidsearch.training.world.scene import FIELDS, SceneAttributes

STILL_KINDS = ("what", "colour", "count", "size", "background", "is there", "can't tell")  # one frame answers these
_SLOTS = 40  # places over which the words of a description are strewn in the "language" stage


class Workshop:
    """A network, what is needed beside it to train it, and the loss of each stage. Everything depends on the seed."""

    def __init__(self, network: MobileVideoGPT, settings: AskSettings, device: str = "cpu") -> None:
        self.network, self.settings, self.device = network, settings, device
        self.config = network.config
        self.conversations = Conversations(build_tokenizer())
        torch.manual_seed(settings.seed)
        self.image_probe = AttributeProbe(self.config.image_tower.hidden_size, STILL_FIELDS, 1).to(device)
        chunks = self.config.frames // self.config.chunk
        self.video_probe = AttributeProbe(self.config.video_encoder.embed_dim, FIELDS, chunks).to(device)
        self.truth_probe = TruthProbe(self.config.language_model.hidden_size).to(device)
        self.coarse_config, self.coarse_encoder = self.config, None
        if any(stage.name == "coarse-video-encoder" for stage in settings.stages):
            assert settings.coarse_patch is not None
            layout = replace(self.config.video_encoder, patch_size=settings.coarse_patch)
            self.coarse_config = replace(self.config, video_encoder=layout)
            encoder = VideoMamba(**asdict(layout))
            init_video_encoder(encoder, self.coarse_config, settings.seed)
            self.coarse_encoder = encoder.to(device)

    def parts(self) -> dict[str, nn.Module]:
        """Everything that is trained in some stage."""
        coarse = {"coarse_encoder": self.coarse_encoder} if self.coarse_encoder else {}
        return {
            "network": self.network,
            "image_tower": self.network.image_tower,
            "image_reader": self.image_probe,
            "video_reader": self.video_probe,
            "claim_reader": self.truth_probe,
            **coarse,
        }

    def finish(self, stage: Stage) -> None:
        """What is left to do when a stage has taken all its steps."""
        if stage.name == "coarse-video-encoder":
            resample_patch_embed(self.network.model.vision_tower, self._coarse)
        if stage.name == "tuning":
            merge(self.network)

    @property
    def _coarse(self) -> VideoMamba:
        assert self.coarse_encoder is not None  # there where the settings have its stage
        return self.coarse_encoder

    def prepare(self, stage: Stage) -> list[dict[str, Any]]:
        """Freeze all that the stage does not train; the groups for the optimiser.

        A group: `params`, their `rate`, and `matrices`, the ids of those that are weights of a network's blocks.
        """
        for part in self.parts().values():
            part.requires_grad_(False)
        inner = self.network.model
        rate, projector_lr = stage.learning_rate, stage.projector_lr or stage.learning_rate
        match stage.name:
            case "image-encoder":
                groups = [(rate, [*self.network.image_tower.parameters(), *self.image_probe.parameters()])]
            case "coarse-video-encoder":
                groups = [(rate, [*self._coarse.parameters(), *self.video_probe.parameters()])]
            case "video-encoder":
                groups = [(rate, [*inner.vision_tower.parameters(), *self.video_probe.parameters()])]
            case "language":
                groups = [(rate, [*language_parameters(self.network), *self.truth_probe.parameters()])]
            case "image-projector":
                groups = [(rate, list(inner.image_mm_projector.parameters()))]
            case "video-projector":
                groups = [(rate, list(inner.mm_projector.parameters()))]
            case "tuning":
                projectors = [*inner.image_mm_projector.parameters(), *inner.mm_projector.parameters()]
                adapters = [*adapt(self.network, self.settings.lora), *self.truth_probe.parameters()]
                groups = [(rate, adapters), (projector_lr, projectors)]
                if stage.encoder_lr is not None:
                    seeing = [*inner.vision_tower.parameters(), *self.video_probe.parameters()]
                    groups += [(stage.encoder_lr, seeing)]
        for _, parameters in groups:
            for parameter in parameters:
                parameter.requires_grad_(True)
        parts = (
            self.network.image_tower.vision_model.encoder.layers,
            *(encoder.vision_encoder.layers for encoder in (inner.vision_tower, self.coarse_encoder) if encoder),
            inner.layers,
        )
        layers = (layer for blocks in parts for layer in blocks.modules() if isinstance(layer, nn.Linear))
        matrices = {id(layer.weight) for layer in layers}
        return [{"params": parameters, "rate": rate, "matrices": matrices} for rate, parameters in groups]

    def loss(self, stage: Stage, step: int) -> Tensor:
        """The loss of one step; the batch depends on seed, stage and step alone."""
        rng = np.random.default_rng((self.settings.seed, _number(stage), step))
        losses: dict[str, Callable[[], Tensor]] = {
            "image-encoder": lambda: _sum(
                image_losses(self.network.image_tower, self.image_probe, rng, stage.batch, self.config)
            ),
            "video-encoder": lambda: _sum(
                video_losses(self.network.model.vision_tower, self.video_probe, rng, stage.batch, self.config)
            ),
            "coarse-video-encoder": lambda: _sum(
                video_losses(self._coarse, self.video_probe, rng, stage.batch, self.coarse_config)
            ),
            "language": lambda: self._language_loss(stage, rng),
        }
        return losses.get(stage.name, lambda: self._visual_loss(stage, rng))()

    def _language_loss(self, stage: Stage, rng: np.random.Generator) -> Tensor:
        """Questions about a sentence that stands where the frames will be, its words strewn over places."""
        meanings = draw_meanings(rng, stage.batch)
        table = self.network.model.embed_tokens.weight
        noise = torch.from_numpy(rng.standard_normal((len(meanings), _SLOTS, table.shape[1]), dtype=np.float32))
        visual = 0.3 * noise.to(self.device) * table.detach().std()
        for row, meaning in enumerate(meanings):
            ids = self.conversations.tokenizer.encode(described(meaning)).ids
            places = np.sort(rng.permutation(_SLOTS)[: len(ids)])
            visual = visual.index_put((torch.full((len(ids),), row), torch.from_numpy(places)), table[ids])
        return self._answers(meanings, visual, stage, KINDS, rng)

    def _visual_loss(self, stage: Stage, rng: np.random.Generator) -> Tensor:
        meanings = draw_meanings(rng, stage.batch)
        rendered = [RenderedClip(meaning, rng, self.config) for meaning in meanings]
        learning = stage.name == "tuning" and stage.encoder_lr is not None
        features, chosen, tokens = encode(
            self.network, rendered, self.settings.selection, self.device, learning=learning
        )
        visual = self.network.visual_tokens(features, tokens)
        kinds = STILL_KINDS if stage.name == "image-projector" else KINDS
        loss = self._answers(meanings, visual, stage, kinds, rng)
        if learning and stage.probe_weight:
            facts = video_token_losses(tokens, self.video_probe, rendered, chosen, self.config)
            loss = loss + stage.probe_weight * _sum(facts)
        return loss

    def _answers(
        self,
        meanings: list[SceneAttributes],
        visual: Tensor,
        stage: Stage,
        kinds: Iterable[str],
        rng: np.random.Generator,
    ) -> Tensor:
        generator = QuestionGenerator(rng, held_out=False)
        questions = [q for meaning in meanings for q in generator.several(meaning, stage.questions, tuple(kinds))]
        rows = self.conversations.rows(questions).to(self.device)
        weight = self.settings.truth_weight
        reader = self.truth_probe if weight else None
        loss, mentions = answer_loss(self.network, self.conversations, visual, rows, stage.questions, reader)
        return loss + weight * mentions


def encode(
    network: MobileVideoGPT,
    rendered: list[RenderedClip],
    selection: Selection,
    device: str,
    *,
    blank: bool = False,
    learning: bool = False,
) -> tuple[Tensor, list[list[int]], Tensor]:
    """Clips → features of the image tower (B, F, L, D), frozen; the frames chosen; their video tokens (B, N, P, D).

    `blank`: pictures of the mean colour instead of the clips; `learning`: gradients reach the video encoder.
    """
    config = network.config
    images = image_pixels([clip.image_frames(range(config.frames)) for clip in rendered]).to(device)
    images = torch.zeros_like(images) if blank else images
    with torch.no_grad():
        features = network.image_tower(images.flatten(0, 1)).float().unflatten(0, images.shape[:2])
        chosen = [select(network, frames, selection) for frames in features]
    pixels = video_pixels([clip.video_frames(c) for clip, c in zip(rendered, chosen, strict=True)]).to(device)
    pixels = torch.zeros_like(pixels) if blank else pixels
    with torch.set_grad_enabled(learning):
        tokens = network.video_tokens(pixels).float()
    return features, chosen, tokens


def select(network: MobileVideoGPT, features: Tensor, selection: Selection) -> list[int]:
    """(F, L, D) → the frames that reach the video encoder, ascending: by score, or evenly spread over each chunk."""
    if selection == "scored":
        return [int(frame) for frame in network.keyframes(features)]
    return even_frames(network.config)


def language_parameters(network: MobileVideoGPT) -> list[nn.Parameter]:
    """Those of the language model alone."""
    inner = network.model
    return [*inner.embed_tokens.parameters(), *inner.layers.parameters(), *inner.norm.parameters()]


@torch.no_grad()
def init_from_scratch(network: MobileVideoGPT, seed: int) -> None:
    """Weights for all parts of a model that nobody pre-trained, in place."""
    generator = torch.Generator().manual_seed(seed)
    init_image_tower(network.image_tower, network.config, seed)
    init_video_encoder(network.model.vision_tower, network.config, seed)
    table = network.model.embed_tokens.weight
    nn.init.normal_(table, std=table.shape[1] ** -0.5, generator=generator)
    for layer in network.model.layers.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)


def _number(stage: Stage) -> int:
    return sum(map(ord, stage.name))


def _sum(losses: tuple[Tensor, Tensor]) -> Tensor:
    return losses[0] + losses[1].sum()
