"""The words of recent queries keep their vectors: typing on, filtering and opening a hit embed nothing again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidsearch.embedding.interface import TextEmbedder

MOST_TEXTS = 2048  # 4 MB of vectors of 512 values


class RememberingEmbedder:
    """A `TextEmbedder` that embeds a text once while it is among the last `MOST_TEXTS`. Threads may share it."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self.model, self.dim = embedder.model, embedder.dim
        self._embedder = embedder
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._changing = threading.Lock()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, E), rows of unit length; B may be 0."""
        with self._changing:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        known |= dict(zip(missing, self._embedder.embed(missing), strict=True))
        with self._changing:
            for text in texts:
                self._vectors[text] = known[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > MOST_TEXTS:
                self._vectors.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else self._embedder.embed([])

    def unknown_words(self, text: str) -> list[str]:
        """See `TextEmbedder.unknown_words`."""
        return self._embedder.unknown_words(text)

    def knows_none_of(self, text: str) -> bool:
        """See `TextEmbedder.knows_none_of`."""
        return self._embedder.knows_none_of(text)

    def unread_words(self, text: str) -> list[str]:
        """See `TextEmbedder.unread_words`."""
        return self._embedder.unread_words(text)
