"""The network that is trained, with what is needed beside it: probes, and the coarse encoder that it starts from."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch
from torch import nn

from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.videomamba.video_mamba import VideoMamba
from vidsearch.training.ask.conversation import Conversations
from vidsearch.training.ask.encoder_pretraining import STILL_FIELDS
from vidsearch.training.ask.initialisation import init_video_encoder
from vidsearch.training.ask.probes import AttributeProbe, TruthProbe
from vidsearch.training.ask.settings import AskSettings
from vidsearch.training.ask.vocabulary import build_tokenizer
from vidsearch.training.world.scene import FIELDS


class TrainedParts:
    """All weights that some stage trains. The first ones depend on the seed alone.

    `with_coarse_encoder`: also a video encoder with patches of `settings.coarse_patch` pixels.
    """

    def __init__(
        self, network: MobileVideoGPT, settings: AskSettings, device: str = "cpu", *, with_coarse_encoder: bool = False
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.config = network.config
        self.conversations = Conversations(build_tokenizer())
        torch.manual_seed(settings.seed)
        self.image_probe = AttributeProbe(self.config.image_tower.hidden_size, STILL_FIELDS, 1).to(device)
        chunks = self.config.frames // self.config.chunk
        self.video_probe = AttributeProbe(self.config.video_encoder.embed_dim, FIELDS, chunks).to(device)
        self.truth_probe = TruthProbe(self.config.language_model.hidden_size).to(device)
        self.coarse_config, self._coarse_encoder = self.config, None
        if with_coarse_encoder:
            assert settings.coarse_patch is not None
            coarse = replace(self.config.video_encoder, patch_size=settings.coarse_patch)
            self.coarse_config = replace(self.config, video_encoder=coarse)
            encoder = VideoMamba(**asdict(coarse))
            init_video_encoder(encoder, self.coarse_config, settings.seed)
            self._coarse_encoder = encoder.to(device)

    @property
    def coarse_encoder(self) -> VideoMamba:
        """The video encoder with larger patches; only of parts that were made with one."""
        assert self._coarse_encoder is not None
        return self._coarse_encoder

    def modules(self) -> dict[str, nn.Module]:
        """All parts, by the names under which the files of a run hold them."""
        coarse = {"coarse_encoder": self._coarse_encoder} if self._coarse_encoder else {}
        return {
            "network": self.network,
            "image_tower": self.network.image_tower,
            "image_reader": self.image_probe,
            "video_reader": self.video_probe,
            "claim_reader": self.truth_probe,
            **coarse,
        }

    def block_matrices(self) -> frozenset[int]:
        """The ids of the weights of all linear layers of the encoders' and the decoder's blocks."""
        inner = self.network.model
        parts = (
            self.network.image_tower.vision_model.encoder.layers,
            *(e.vision_encoder.layers for e in (inner.vision_tower, self._coarse_encoder) if e),
            inner.layers,
        )
        layers = (layer for blocks in parts for layer in blocks.modules() if isinstance(layer, nn.Linear))
        return frozenset(id(layer.weight) for layer in layers)
