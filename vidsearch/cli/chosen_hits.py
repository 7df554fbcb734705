"""Hits as they are named on a command line: numbers, ranges, all of them, or JSON lines on stdin."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

from vidsearch.cli import completing, options, show
from vidsearch.cli.late import typer
from vidsearch.errors import VidsearchError

if TYPE_CHECKING:
    from vidsearch.records import Hit

_NUMBERS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_MOST = 100_000  # numbers: a slip of the finger must not take the memory

Hits = Annotated[
    list[str],
    typer.Argument(
        metavar="HITS...",
        help="Numbers of the last query (1-5,8), all, or - for JSON lines on stdin.",
        autocompletion=completing.hits,
    ),
]


def are_hits(texts: list[str]) -> bool:
    """Whether all of the arguments name hits; what does not is words to search for."""
    return all(text in ("all", "-") or _NUMBERS.fullmatch(text) for text in texts)


def chosen(texts: list[str]) -> list[Hit]:
    """The hits, in the order named. BadParameter for what names none, VidsearchError for a hit that is not there."""
    from vidsearch import json_forms
    from vidsearch.workflows.hits import hits_of_numbers

    if texts == ["-"]:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read()
        hits = json_forms.read_hits(data.decode("utf-8", "surrogateescape"))
        if not hits:
            raise VidsearchError("No hit came from stdin; pipe the lines of vidsearch query --jsonl into it.")
        return hits
    numbers = None if texts == ["all"] else [number for text in texts for number in _numbers(text)]
    with options.open_library() as library:
        found = hits_of_numbers(library, numbers)
    for it in found:
        if it.moved_from is not None:
            show.say(f"vidsearch: Hit {it.hit.number} was in {it.moved_from}; its content is now in {it.hit.path}.")
    return [it.hit for it in found]


def _numbers(text: str) -> list[int]:
    if not _NUMBERS.fullmatch(text):
        raise typer.BadParameter(f"{text!r} names no hits; write numbers and ranges (1-5,8), all, or -")
    numbers: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        low, high = int(first[:9]), int((last or first)[:9])
        if low > high:
            raise typer.BadParameter(f"the range {piece} is empty; its first number comes first")
        if high - low >= _MOST:
            raise typer.BadParameter(f"the range {piece} is longer than any result; at most {_MOST} numbers")
        numbers += range(low, high + 1)
    return numbers
