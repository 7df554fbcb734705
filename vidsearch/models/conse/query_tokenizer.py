"""Queries → word pieces (BERT's WordPiece, lower case), the input of the exported sentence encoder. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vidsearch.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from vidsearch.models.folder import ModelFolder

IDS, MASK = "ids", "mask"
CONTEXT = 256  # tokens; the rest of a longer text is left out, as the encoder's authors do
_PADDING = 0


class WordPieceTokenizer:
    """A `QueryTokenizer`. Every word has pieces that the encoder knows, letters at worst: none is unknown."""

    def __init__(self, folder: ModelFolder, simplify: bool) -> None:  # the encoder's vocabulary is lower case anyway
        self._tokenizer = open_tokenizer(folder.path / "tokenizer.json")

    def __call__(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.int64]]:
        """→ ids and mask, both (B, L), L the tokens of the longest text."""
        return padded(self._tokenizer, texts)

    def unknown_words(self, text: str) -> list[str]:
        """See `QueryTokenizer.unknown_words`."""
        return []

    def knows_none_of(self, text: str) -> bool:
        """See `QueryTokenizer.knows_none_of`."""
        return False


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a `tokenizer.json`. ModelError, which names the file, if it cannot be read."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"{path} cannot be read ({error}); install the model again") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(CONTEXT)
    return tokenizer


def padded(tokenizer: Tokenizer, texts: Sequence[str]) -> Mapping[str, NDArray[np.int64]]:
    """Texts → ids and mask, (B, L) each; the mask is 1 for a token and 0 for padding."""
    import numpy as np

    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    ids = np.full((len(rows), max(map(len, rows))), _PADDING, np.int64)
    mask = np.zeros_like(ids)
    for row, (into, seen) in zip(rows, zip(ids, mask, strict=True), strict=True):
        into[: len(row)], seen[: len(row)] = row, 1
    return {IDS: ids, MASK: mask}
