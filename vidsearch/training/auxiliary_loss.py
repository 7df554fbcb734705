"""Auxiliary loss for training from scratch: one linear map reads the attributes from a clip's vector and from a text's.

The contrastive loss alone is slow to find what neither encoder tells apart yet: while both give left and right the same
vector, neither gets a gradient that would change it. Reading the labels of the world from both vectors, with shared
weights, gives each a gradient of its own. The map is not part of the model.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.training.world.scene import FIELD_SIZES


class AttributeClassifier(nn.Module):
    """(B, E) unit vectors → the attributes of `scene.FIELDS`."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.scale = embed_dim**0.5  # unit vectors have small entries
        self.to_codes = nn.Linear(embed_dim, sum(FIELD_SIZES))

    def loss(self, vectors: Tensor, attribute_labels: Tensor, mentioned: Tensor) -> Tensor:
        """Cross-entropy summed over the fields, each averaged over the rows that mention it.

        vectors (B, E); attribute_labels (B, fields) int64; mentioned (B, fields) bool.
        """
        fields = self.to_codes(vectors * self.scale).split(FIELD_SIZES, dim=1)
        total = vectors.new_zeros(())
        for logits, wanted, counts in zip(fields, attribute_labels.unbind(1), mentioned.unbind(1), strict=True):
            each = F.cross_entropy(logits, wanted, reduction="none")
            total = total + (each * counts).sum() / counts.sum().clamp(min=1)
        return total
