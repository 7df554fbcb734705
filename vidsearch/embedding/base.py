"""What turns clips and words into unit vectors of one space, and how to open it by a model's name.

The backends are imported when they are opened: torch for clips, ONNX Runtime alone for words, so that a query answers
before torch would have been imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidsearch import places
from vidsearch.models.folder import find_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidsearch.records import FrameSpec


class ClipEmbedder(Protocol):
    """Frames → vectors of one model."""

    model: str
    dim: int
    frame_spec: FrameSpec  # the pictures it takes
    frames: int  # of a clip
    device: str  # for people: what computes, in which precision; and why, where it is not what could be expected

    def embed(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) RGB, T frames of `frame_spec` → (B, E), rows of unit length; B may be 0."""
        ...


class TextEmbedder(Protocol):
    """Words → vectors of one model."""

    model: str
    dim: int

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, E), rows of unit length; B may be 0."""
        ...

    def unknown_words(self, text: str) -> list[str]:
        """The words of `text` of which the model knows no part; always [] for a model with the full vocabulary."""
        ...

    def knows_none_of(self, text: str) -> bool:
        """Whether `text` has words but none with a content that the model knows: its vector then says nothing."""
        ...


def open_clip_embedder(
    model: str, *, models_dir: Path | None = None, device: str = "auto", threads: int | None = None
) -> ClipEmbedder:
    """The clip embedder of an installed or bundled model.

    `device` is auto, cpu, cuda, cuda:N or mps; `threads` limits those of the CPU (None: as many as there are cores).
    Raises ModelError when the model is not there or damaged, VidsearchError for a device that this machine lacks.
    """
    folder = find_model(model, models_dir or places.models_dir(), "search")
    from vidsearch.embedding.torch_clips import TorchClipEmbedder

    return TorchClipEmbedder(folder, device=device, threads=threads)


def open_text_embedder(
    model: str, *, models_dir: Path | None = None, simplify: bool = True, threads: int | None = None
) -> TextEmbedder:
    """The text embedder of an installed or bundled model; torch is not imported.

    `simplify` writes texts as MobileViCLIP's training captions were written (lower case, few signs); the models for
    pictures were trained without that and ignore it. Raises ModelError when the model is not there or damaged.
    """
    folder = find_model(model, models_dir or places.models_dir(), "search")
    from vidsearch.embedding.onnx_text import OnnxTextEmbedder

    return OnnxTextEmbedder(folder, simplify=simplify, threads=threads)
