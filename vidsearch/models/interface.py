"""What a family that embeds provides: protocols, no torch. `families.py` says where each family has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from vidsearch.models.preprocessing import Preprocessing

BATCH_TEXTS = 32  # as many as a TextEncoder is given at once


class EmbeddingConfig(Protocol):
    """What is asked of every config whose network embeds clips and words."""

    @property
    def embed_dim(self) -> int:
        """Values of a vector."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """The pictures and clips that the network takes."""
        ...


class ClipEncoder(Protocol):
    """A network on one device in one precision. Axis letters: B clips, T frames, H, W rows and columns, E the space."""

    @property
    def batch_clips(self) -> int:
        """How many clips to run at once on this device."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 RGB on the device, B at least 1 → (B, E) float32, rows of unit length."""
        ...


class TextEncoder(Protocol):
    """What runs the text encoder of a model folder, without torch."""

    @property
    def path(self) -> Path:
        """The file of its weights, for messages."""
        ...

    def encode(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """What the family's tokenizer made of B texts → (B, E), rows of unit length."""
        ...


class QueryTokenizer(Protocol):
    """Words → the inputs of a text encoder, and which words it knows."""

    def __call__(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.int64]]:
        """Name of an input of text.onnx → its values, (B, …)."""
        ...

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` of which the model knows no part; always [] for a model with the full vocabulary."""
        ...

    def knows_none_of(self, text: str) -> bool:
        """Whether `text` has words but none with a content that the model knows: its vector then says nothing."""
        ...

    def unread_words(self, text: str) -> list[str]:
        """The words at the end of `text` that are cut off, because the model reads no further."""
        ...
