"""Written query → Query.

A query is written as pieces: words, or something with a mark before it (`-`, `0.5:`, `like:`, `since:`). In a line the
pieces stand between spaces; in a shell each argument is one, and may hold spaces. docs/queries.md has the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import Any

from vidsearch.frozen import dataclass
from vidsearch.query_text import values
from vidsearch.query_text.keys import FILTERS, KEYS, SHOWN
from vidsearch.query_text.mistakes import QueryMistake
from vidsearch.records import AnyTerm, Filter, LikeFile, LikeHit, Query, Term

_QUOTED = r'"(?P<quoted>(?:[^"\\]|\\.)*)"'
# A minus is one before a letter or a quote, and a weight before what is no digit: "-5 degrees", "16:9" and "2:30" are
# words. What has a space behind its colon is words, too: "like: a dog"; a key that ends the query lacks its value.
_WEIGHT = r"(?:\d+(?:\.\d+)?|\.\d+)"
_SIGNS = rf"(?P<minus>-(?=[^\s\d-]|{_WEIGHT}:[^\s\d]))?(?:(?P<weight>{_WEIGHT}):(?=[^\s\d]))?"
_KEY = rf"(?P<key>like|{'|'.join(KEYS)}):"
_MARKS = re.compile(rf"{_SIGNS}(?:{_KEY}(?=\S))?")
_KEY_ALONE = re.compile(rf"{_SIGNS}{_KEY}")
_WHOLE_QUOTED = re.compile(_QUOTED, re.DOTALL)
_QUOTED_SOURCE = re.compile(rf"{_QUOTED}(?P<range>@\S*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one piece says. `words`: of a term that goes on with words that follow, else None."""

    term: AnyTerm | None = None
    words: str | None = None
    filter: Filter | None = None
    shown: dict[str, Any] = field(default_factory=dict)


def parse_query(text: str) -> Query:
    """The query of a line: `dog jumping -snow 0.5:"sunny beach" like:clip.mp4@00:12-00:20 since:2025-07`.

    Words in a row are one term; what stands in quotes is a term by itself. Raises QueryMistake.
    """
    pieces = []
    places = list(_places(text))
    for start, end in places:
        try:
            pieces.append(_read(text[start:end], last=end == places[-1][1]))
        except QueryMistake as mistake:
            raise mistake.within(text, start) from None
    return _joined(pieces)


def parse_arguments(arguments: Sequence[str]) -> Query:
    """The query of the arguments of a command line, each of which is a piece.

    Words in a row are one term; an argument with a space in it, which stood in quotes, is a term by itself. Raises
    QueryMistake.
    """
    last = len(arguments) - 1
    return _joined([_read(argument, last=number == last) for number, argument in enumerate(arguments)])


def weighted_words(text: str, sign: int = 1) -> Term:
    """The term of an option's value: words, or a weight, a colon and words. Raises QueryMistake."""
    match = re.match(rf"(?:({_WEIGHT}):(?=[^\s\d]))?", text)
    assert match is not None  # it may be empty
    words = _unquoted(text, match.end()) if match[1] else text
    return Term(words, sign * _weight(match[1], text, 0))


def weighted_source(text: str) -> LikeFile | LikeHit:
    """The term of `--like`: a hit, a picture, a clip or its range, a weight and a colon before it if wanted.

    Raises QueryMistake.
    """
    match = re.match(rf"(?:({_WEIGHT}):(?=\S))?", text)
    assert match is not None  # it may be empty
    return _source(text, match.end(), _weight(match[1], text, 0))


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where the pieces of a line begin and end: at spaces that are not in quotes. Raises QueryMistake."""
    at = 0
    while (found := re.compile(r"\S").search(text, at)) is not None:
        start = found.start()
        marks = _MARKS.match(text, start)
        assert marks is not None  # it may be empty
        at = marks.end()
        if text[at : at + 1] == '"':
            quoted = _WHOLE_QUOTED.match(text, at)
            if quoted is None:
                raise QueryMistake("This quote is not closed; write one more behind the words.", text, at, at + 1)
            at = quoted.end()
        space = re.compile(r"\s|$").search(text, at)
        assert space is not None  # the end is one
        at = space.start()
        yield start, at


def _read(piece: str, *, last: bool) -> _Piece:
    """What a piece says; `last`: of the query. Raises QueryMistake."""
    marks = (_KEY_ALONE.fullmatch(piece) if last else None) or _MARKS.match(piece)
    assert marks is not None  # it may be empty
    minus, weight, key = marks.group("minus", "weight", "key")
    if key not in (None, "like"):
        if minus or weight:
            way = f"; write not-under:{piece[marks.end() :]}" if minus and key == "under" else ""
            raise QueryMistake(f"{key}: takes no {'minus' if minus else 'weight'}{way}.", piece, 0, marks.start("key"))
        return _keyed(key, piece, marks.end())
    signed = (-1 if minus else 1) * _weight(weight, piece, marks.start("weight"))
    if key == "like":
        return _Piece(_source(piece, marks.end(), signed))
    if not (minus or weight):
        whole = _WHOLE_QUOTED.fullmatch(piece)
        if whole is None:
            alone = re.search(r"\s", piece) is not None
            return _Piece(Term(piece)) if alone else _Piece(words=piece)
    return _Piece(Term(_unquoted(piece, marks.end()), signed))


def _keyed(key: str, piece: str, start: int) -> _Piece:
    value = _unquoted(piece, start)
    try:
        if key in FILTERS:
            return _Piece(filter=FILTERS[key].read(value))
        return _Piece(shown={SHOWN[key].field: SHOWN[key].read(value)})
    except ValueError as error:
        raise QueryMistake(f"{key}: {error}.", piece, start) from None


def _weight(text: str | None, piece: str, start: int) -> float:
    if text is None:
        return 1.0
    if not 0 < float(text) < float("inf"):
        raise QueryMistake("A weight is a number above 0.", piece, start, start + len(text))
    return float(text)


def _source(piece: str, start: int, weight: float) -> LikeFile | LikeHit:
    text = piece[start:]
    try:
        if text.startswith('"'):
            quoted = _QUOTED_SOURCE.fullmatch(text)
            if quoted is None:
                raise ValueError("behind the closing quote there can be a range, as in @00:12-00:20, or nothing")
            text = _unescaped(quoted["quoted"]) + (quoted["range"] or "")
        return values.source(text, weight)
    except ValueError as error:
        raise QueryMistake(f"like: {error}.", piece, start) from None


def _unquoted(piece: str, start: int) -> str:
    """What stands behind the marks: in quotes, or as it is. Raises QueryMistake."""
    text = piece[start:]
    if not text.startswith('"'):
        return text
    quoted = _WHOLE_QUOTED.match(text)
    if quoted is None:
        raise QueryMistake("This quote is not closed; write one more behind the words.", piece, start, start + 1)
    if quoted.end() < len(text):
        raise QueryMistake(
            "Nothing can follow a closing quote but a space.", piece, start + quoted.end(), start + quoted.end() + 1
        )
    return _unescaped(quoted["quoted"])


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def _joined(pieces: Iterable[_Piece]) -> Query:
    terms: list[AnyTerm] = []
    filters: list[Filter] = []
    shown: dict[str, Any] = {}
    row: list[str] = []  # words that follow each other
    for piece in [*pieces, _Piece()]:
        if piece.words is not None:
            row.append(piece.words)
            continue
        if row:
            terms.append(Term(" ".join(row)))
            row = []
        if piece.term is not None:
            terms.append(piece.term)
        if piece.filter is not None:
            filters.append(piece.filter)
        shown |= piece.shown
    return Query(tuple(terms), tuple(filters), **shown)
