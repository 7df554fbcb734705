"""ConSE: a clip is a convex combination of the vectors of what its frames may show (`space.py`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidsearch.models.conse.config import SENTENCE_DIM, ConseConfig
from vidsearch.models.conse.efficientnet_lite import CLASSES, EfficientNetLite2
from vidsearch.models.conse.space import clips_in_space, queries_in_space

CLASSIFIER = "image_classifier"


class Conse(nn.Module):
    """The classifier, the centred vectors of its classes, and their centre. The sentence encoder stands apart."""

    class_vectors: Tensor
    centre: Tensor

    def __init__(self, config: ConseConfig) -> None:
        super().__init__()
        self.config = config
        self.image_classifier = EfficientNetLite2()
        self.register_buffer("class_vectors", torch.zeros(CLASSES, SENTENCE_DIM))
        self.register_buffer("centre", torch.zeros(SENTENCE_DIM))

    def encode_clips(self, clips: Tensor) -> Tensor:
        """(B, T, 3, side, side) normalised → (B, E) float32, rows of unit length."""
        logits = self.image_classifier(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])  # (B, T, 1000)
        return clips_in_space(logits, self.class_vectors.float(), self.config.temperature)

    def encode_sentences(self, sentences: Tensor) -> Tensor:
        """Sentence vectors (B, 384) → (B, E), rows of unit length."""
        return queries_in_space(sentences, self.class_vectors, self.centre)
