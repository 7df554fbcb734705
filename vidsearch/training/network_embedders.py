"""A network in training as the embedders that the evaluation takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.data import pixels, token_rows
from vidsearch.training.evaluate import ClipMaker, Evaluator


class NetworkClips:
    """A `ClipEmbedder` over a network as it is, in evaluation mode and in its own precision."""

    def __init__(self, network: MobileViCLIP) -> None:
        self.network = network.eval()
        self.model, self.dim = network.config.name, network.config.embed_dim
        self.frame_spec, self.frames = network.config.preprocessing.frame_spec, network.config.preprocessing.frames
        self.device = str(network.temp.device)

    @torch.inference_mode()
    def embed(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) RGB → (B, E), rows of unit length."""
        batch = pixels(clips, self.network.config.preprocessing).to(self.device)
        return self.network.encode_video(batch).float().cpu().numpy()


class NetworkTexts:
    """A `TextEmbedder` over the same network; texts are simplified as in training. No word is unknown to it."""

    def __init__(self, network: MobileViCLIP) -> None:
        self.network = network.eval()
        self.model, self.dim = network.config.name, network.config.embed_dim
        self.device = str(network.temp.device)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, E), rows of unit length."""
        return self.network.encode_text(token_rows(list(texts)).to(self.device)).float().cpu().numpy()

    def unknown_words(self, text: str) -> list[str]:
        return []

    def knows_none_of(self, text: str) -> bool:
        return False

    def unread_words(self, text: str) -> list[str]:
        return []


def network_evaluator(network: MobileViCLIP, make_clip: ClipMaker, seed: int) -> Evaluator:
    """Runs the network on evaluation sets."""
    return Evaluator(NetworkClips(network), NetworkTexts(network), make_clip, seed)
