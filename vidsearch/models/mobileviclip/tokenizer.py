"""Words → token ids: the byte-pair encoding of CLIP, on OpenAI's vocabulary (`assets/`); numpy alone.

`ftfy`, which repairs text, is imported for a text that is not plain ASCII, and only then: on plain ASCII it changes
nothing, and neither a first query nor a training machine should wait for it.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.models.mobileviclip.config import CONTEXT, END_TOKEN, VOCABULARY

START_TOKEN = END_TOKEN - 1
SPECIAL_TOKENS = {"<start_of_text>": START_TOKEN, "<end_of_text>": END_TOKEN}
FIRST_MERGED = 2 * 256  # before it: the 256 signs of the byte alphabet, and the same at the end of a word
MERGES = VOCABULARY - FIRST_MERGED - len(SPECIAL_TOKENS)  # 48 894: lines 1 to 48 894 of the file, the rest is unused
END_OF_WORD = "</w>"
USED_BYTES = 524_644  # of the unpacked file: its first line, a comment, and the merges
USED_PACKED_BYTES = 212_465  # of the packed file, for these
MOST_SEARCHED = 400  # pairs that are looked for in the file, 0.05 ms each; from then on in a table, which takes 17 ms
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"

_PRE_TEXT_DELETED = str.maketrans("-/", "  ", ",.'!?\"()*#:;~")


def tokenize(texts: Sequence[str]) -> NDArray[np.int64]:
    """Rows of ids, (B, 77): start, the text's ids, end, then zeros. A longer text is cut and still ends with end."""
    rows = np.zeros((len(texts), CONTEXT), np.int64)
    for row, text in zip(rows, texts, strict=True):
        ids = [START_TOKEN, *token_ids(text), END_TOKEN][:CONTEXT]
        ids[-1] = END_TOKEN
        row[: len(ids)] = ids
    return rows


def token_ids(text: str) -> list[int]:
    """The ids of one text, uncut, without start and end."""
    return [token for piece in split(clean(text)) for token in piece_ids(piece)]


def pre_text(caption: str) -> str:
    """How captions are simplified in training and evaluation (InternVideo2's framework): lower case, few signs."""
    simple = caption.lower().translate(_PRE_TEXT_DELETED).replace("<person>", "person")
    return re.sub(r"\s{2,}", " ", simple).strip()


def clean(text: str) -> str:
    """Repaired, HTML unescaped twice, runs of white space one space, lower case: the reference's order."""
    if not is_plain(text):
        import html  # late, as is ftfy: see the module's docstring

        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def is_plain(text: str) -> bool:
    """Whether neither ftfy nor the HTML step can change anything: printable ASCII without `&`."""
    return text.isascii() and text.isprintable() and "&" not in text


def split(text: str) -> list[str]:
    """Cleaned text → pieces: special tokens, English contractions, runs of letters, one digit, runs of other signs."""
    if text.isascii():
        return _ASCII_PIECES.findall(text)
    # `re` has no classes for Unicode letters and numbers: name those that this text contains.
    kinds = {sign: unicodedata.category(sign)[0] for sign in set(text)}
    letters = "".join(re.escape(sign) for sign, kind in kinds.items() if kind == "L")
    numbers = "".join(re.escape(sign) for sign, kind in kinds.items() if kind == "N")
    return _piece_pattern(letters, numbers).findall(text)


def _piece_pattern(letters: str, numbers: str) -> re.Pattern[str]:
    literal = "<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d"
    runs = [rf"[{letters}]+"] * bool(letters) + [rf"[{numbers}]"] * bool(numbers)
    return re.compile("|".join([f"(?i:{literal})", *runs, rf"[^\s{letters}{numbers}]+"]))


_ASCII_PIECES = _piece_pattern("a-z", "0-9")


@lru_cache(maxsize=1 << 16)  # captions repeat their words
def piece_ids(piece: str) -> tuple[int, ...]:
    """The ids of one piece: its bytes, with the pairs of lowest rank merged until no pair is in the vocabulary."""
    if piece in SPECIAL_TOKENS:
        return (SPECIAL_TOKENS[piece],)
    vocabulary = load_vocabulary()
    signs = [vocabulary.byte_signs[byte] for byte in piece.encode("utf-8")]
    signs[-1] += END_OF_WORD
    made: dict[str, int] = {}  # tokens that a merge made → their ids, which follow the merges' ranks
    while len(signs) > 1:
        at, rank = vocabulary.first_merge(signs)
        if rank == MERGES:
            break
        made[signs[at] + signs[at + 1]] = FIRST_MERGED + rank
        signs = _merged(signs, at)
    return tuple(made[sign] if sign in made else vocabulary.base_ids[sign] for sign in signs)


def _merged(signs: list[str], place: int) -> list[str]:
    """All occurrences of the pair at `place` joined, from left to right."""
    left, right = signs[place : place + 2]
    merged = signs[:place]
    while place < len(signs):
        if signs[place : place + 2] == [left, right]:
            merged.append(left + right)
            place += 2
        else:
            merged.append(signs[place])
            place += 1
    return merged


class Vocabulary:
    """The merges by rank, keyed "left right" as the file has them, and the ids of the signs that no merge makes.

    `merges`: the lines of the file, each with a line break before and behind it. For the words of one query they are
    searched as they lie, since a table of them takes longer to make than the query to be encoded.
    """

    def __init__(self, merges: bytes) -> None:
        self.byte_signs = byte_alphabet()  # byte → its printable character
        order = sorted(range(256), key=lambda byte: (ord(self.byte_signs[byte]) > 255, byte))  # printable bytes first
        single = [self.byte_signs[byte] for byte in order]
        base = [*single, *(sign + END_OF_WORD for sign in single)]
        self.base_ids = {sign: index for index, sign in enumerate(base)}  # 256 characters, and 256 at the end of a word
        self._merges = merges
        self._searched = 0  # pairs

    @cached_property
    def ranks(self) -> dict[str, int]:
        """ "left right" → rank."""
        return {merge: rank for rank, merge in enumerate(self._merges.decode("utf-8").strip("\n").split("\n"))}

    def first_merge(self, signs: Sequence[str]) -> tuple[int, int]:
        """Of the pairs side by side in two or more signs the one of lowest rank: where it begins, and its rank.

        The rank is `MERGES` if no pair is in the vocabulary.
        """
        pairs = [f"{left} {right}" for left, right in pairwise(signs)]
        if self._searched >= MOST_SEARCHED:
            ranks = [self.ranks.get(pair, MERGES) for pair in pairs]
            return ranks.index(min(ranks)), min(ranks)
        self._searched += len(pairs)
        return self._search(pairs)

    def _search(self, pairs: Sequence[str]) -> tuple[int, int]:
        """Each pair is looked for only before the best one so far, which for most words is near the start."""
        best_at, place = 0, None
        for at, pair in enumerate(pairs):
            end = len(self._merges) if place is None else place + 1  # the line before ends with the same line break
            found = self._merges.find(f"\n{pair}\n".encode(), 0, end)
            if found >= 0:
                best_at, place = at, found
        return best_at, MERGES if place is None else self._merges.count(b"\n", 0, place)


@cache
def load_vocabulary() -> Vocabulary:
    """The vocabulary, read once a process."""
    with (Path(__file__).parent / "assets" / VOCABULARY_FILE).open("rb") as file:
        packed = file.read(USED_PACKED_BYTES)  # reading all of it doubles the time
    lines = zlib.decompressobj(wbits=31).decompress(packed, USED_BYTES)  # wbits 31: gzip's header
    return Vocabulary(lines[lines.index(b"\n") :] + b"\n")


def byte_alphabet() -> tuple[str, ...]:
    """Byte → one printable character: itself where Latin-1 prints it, else code points from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return tuple(chr(byte) if byte in printable else chr(next(spare)) for byte in range(256))
