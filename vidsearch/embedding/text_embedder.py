"""Words → vectors: the family's tokenizer, then the text encoder of a model folder. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.errors import ModelError
from vidsearch.models.interface import BATCH_TEXTS, TextEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidsearch.models.folder import ModelFolder


class ModelTextEmbedder:
    """A `TextEmbedder` over a model folder and what runs its text encoder."""

    def __init__(self, folder: ModelFolder, encoder: TextEncoder, *, simplify: bool = True) -> None:
        self.model = folder.name
        self.dim = folder.embedding.embed_dim
        self._tokenizer = folder.family.query_tokenizer(folder, simplify=simplify)
        self.encoder = encoder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, E), rows of unit length. TypeError for one text without a list, whose letters would be the texts."""
        if isinstance(texts, str):
            raise TypeError(f"texts are a list: embed([{texts!r}])")
        vectors = [np.empty((0, self.dim), np.float32)]
        for batch in _batches(texts, BATCH_TEXTS):
            vectors.append(self._checked(self.encoder.encode(self._tokenizer(batch)), len(batch)))
        return np.concatenate(vectors)

    def _checked(self, vectors: NDArray[np.float32], texts: int) -> NDArray[np.float32]:
        """ModelError unless there is a vector of finite values for each text."""
        if vectors.shape != (texts, self.dim) or not np.isfinite(vectors).all():
            where = self.encoder.path
            raise ModelError(f"the text encoder {where} gives no usable vectors; install {self.model} again")
        return vectors

    def unknown_words(self, text: str) -> list[str]:
        """See `TextEmbedder.unknown_words`."""
        return self._tokenizer.unknown_words(text)

    def knows_none_of(self, text: str) -> bool:
        """See `TextEmbedder.knows_none_of`."""
        return self._tokenizer.knows_none_of(text)

    def unread_words(self, text: str) -> list[str]:
        """See `TextEmbedder.unread_words`."""
        return self._tokenizer.unread_words(text)


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(texts), size):
        yield texts[first : first + size]
