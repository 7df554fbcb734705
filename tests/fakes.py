"""Fakes with a known right answer, for tests of what is done with a model's output."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import FrameSpec

COLOURS = ("red", "green", "blue")


class ColourEmbedder:
    """Clips and words in one space of three axes: a clip is its mean colour, a text the sum of the colours it names."""

    model = "colours"
    dim = len(COLOURS)
    frame_spec = FrameSpec(side_px=16)
    frames = 8
    device = "none"

    def embed_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) → (B, 3)."""
        return _unit_rows(clips.reshape(len(clips), -1, 3).mean(axis=1))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, 3); a text that names no colour is grey."""
        counts = [[text.split().count(colour) for colour in COLOURS] for text in texts]
        return _unit_rows(np.array([row if any(row) else [1] * len(COLOURS) for row in counts], dtype=np.float64))

    def embed(self, given: NDArray[np.uint8] | Sequence[str]) -> NDArray[np.float32]:
        """As a ClipEmbedder for an array, as a TextEmbedder for texts."""
        return self.embed_clips(given) if isinstance(given, np.ndarray) else self.embed_texts(given)

    def unknown_words(self, text: str) -> list[str]:
        """All words but the colours."""
        return [word for word in text.split() if word not in COLOURS]

    def knows_none_of(self, text: str) -> bool:
        """Whether `text` names no colour."""
        return not any(word in COLOURS for word in text.split())


def _unit_rows(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return np.asarray(rows / lengths, dtype=np.float32)
