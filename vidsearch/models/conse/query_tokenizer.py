"""Queries → word pieces (BERT's WordPiece, lower case), the input of the exported sentence encoder. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vidsearch.errors import ModelError
from vidsearch.models.content_words import has_content

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from vidsearch.models.folder import ModelFolder

IDS, POSITIONS = "ids", "positions"
CONTEXT = 256  # tokens; the rest of a longer text is left out, as the encoder's authors do
PADDING, _UNKNOWN = 0, 100  # rows of the published vocabulary


class WordPieceTokenizer:
    """A `QueryTokenizer`. A word falls into pieces, letters at worst; unknown is one of signs that the encoder lacks.

    The vocabulary is lower case whatever `simplify` says.
    """

    def __init__(self, folder: ModelFolder, simplify: bool = True) -> None:
        self._tokenizer = open_tokenizer(folder.path / "tokenizer.json")

    def __call__(self, texts: Sequence[str]) -> Mapping[str, NDArray[np.int64]]:
        """→ ids and positions, both (B, L), L the tokens of the longest text."""
        return padded(self._tokenizer, texts)

    def unknown_words(self, text: str) -> list[str]:
        """See `QueryTokenizer.unknown_words`."""
        return [word for word in text.split() if set(self._pieces(word)) == {_UNKNOWN}]

    def knows_none_of(self, text: str) -> bool:
        """See `QueryTokenizer.knows_none_of`."""
        unknown = set(self.unknown_words(text))
        return bool(text.strip()) and not any(has_content(word) and word not in unknown for word in text.split())

    def unread_words(self, text: str) -> list[str]:
        """See `QueryTokenizer.unread_words`. A word of which a part is cut off counts as cut off."""
        cut = self._tokenizer.encode(text).overflowing
        if not cut:
            return []
        first = next(start for start, end in cut[0].offsets if end > start)  # marks of the tokenizer are empty
        words = text[:first].split()
        whole = len(words) - (not text[first - 1].isspace())  # words that end before the first piece that is cut off
        return text.split()[whole:]

    def _pieces(self, word: str) -> list[int]:
        return list(self._tokenizer.encode(word, add_special_tokens=False).ids)


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
    """Texts → ids, filled up with `PADDING`, and the position of each in its row; (B, L) each."""
    import numpy as np

    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    ids = np.full((len(rows), max(map(len, rows))), PADDING, np.int64)
    for into, row in zip(ids, rows, strict=True):
        into[: len(row)] = row
    return {IDS: ids, POSITIONS: np.tile(np.arange(ids.shape[1]), (len(rows), 1))}
