"""What turns clips and words into unit vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidsearch.records import FrameSpec, Runtime


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


@runtime_checkable
class BatchingEmbedder(ClipEmbedder, Protocol):
    """One that says how many clips it takes at once; with fewer a large GPU is not filled."""

    @property
    def batch_clips(self) -> int: ...


@runtime_checkable
class RuntimeEmbedder(ClipEmbedder, Protocol):
    """One that says what runs its network, which the library keeps with the vectors."""

    @property
    def runtime(self) -> Runtime: ...


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

    def unread_words(self, text: str) -> list[str]:
        """The words at the end of `text` that are cut off, because the model reads no further."""
        ...
