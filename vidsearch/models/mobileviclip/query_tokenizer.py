"""Queries → the input of the exported text encoder; the words that a pruned vocabulary leaves out. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from vidsearch.models.arrays import read_arrays
from vidsearch.models.content_words import has_content
from vidsearch.models.mobileviclip.config import CONTEXT
from vidsearch.models.mobileviclip.tokenizer import pre_text, token_ids, tokenize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidsearch.models.folder import ModelFolder

ONNX_INPUT = "ids"
_ROW_TABLE = "text_encoder.embedding_row"


class ClipTokenizer:
    """A `QueryTokenizer` with CLIP's vocabulary.

    `simplify` writes texts as the training captions of MobileViCLIP were written: lower case, few signs.
    """

    def __init__(self, folder: ModelFolder, simplify: bool = True) -> None:
        self._folder = folder
        self._simplify = simplify

    def __call__(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.int64]]:
        """→ ids (B, 77)."""
        return {ONNX_INPUT: tokenize([self._prepared(text) for text in texts])}

    def unknown_words(self, text: str) -> list[str]:
        """Words whose tokens all have the row for unknown words of a pruned table, in the order of the text."""
        if self._rows is None:
            return []
        return [word for word in self._prepared(text).split() if not self._rows[token_ids(word)].any()]

    def knows_none_of(self, text: str) -> bool:
        """See `QueryTokenizer.knows_none_of`."""
        if not text.strip():
            return False
        unknown = set(self.unknown_words(text))
        return not any(has_content(word) and word not in unknown for word in self._prepared(text).split())

    def unread_words(self, text: str) -> list[str]:
        """See `QueryTokenizer.unread_words`. A word of which a part is cut off counts as cut off."""
        words = self._prepared(text).split()
        ends = accumulate(len(token_ids(word)) for word in words)
        return [word for word, end in zip(words, ends, strict=True) if end > CONTEXT - 2]  # start and end take two

    def _prepared(self, text: str) -> str:
        return pre_text(text) if self._simplify else text

    @cached_property
    def _rows(self) -> NDArray[np.int64] | None:
        """(49408,) token id → row of the word table, 0 for unknown; None for a full vocabulary."""
        return read_arrays(self._folder, _ROW_TABLE).get(_ROW_TABLE)


def plain_tokenizer(folder: ModelFolder, simplify: bool) -> ClipTokenizer:
    """The tokenizer of MobileCLIP, whose training captions were left as they were: `simplify` is ignored."""
    return ClipTokenizer(folder, simplify=False)
