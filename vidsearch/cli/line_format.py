"""`--format`: a line for each hit, as the user writes it: '{path}\\t{start}\\t{score:.2f}'."""

from __future__ import annotations

from collections.abc import Callable
from string import Formatter
from typing import TYPE_CHECKING, Any

from vidsearch.cli.late import typer
from vidsearch.timecode import TimeFormat, time_text

if TYPE_CHECKING:
    from vidsearch.records import Hit

Field = Callable[["Hit", str, TimeFormat], Any]  # of a hit, its level and the format of times

FIELDS: dict[str, Field] = {
    "number": lambda hit, level, times: hit.number,
    "score": lambda hit, level, times: hit.score,
    "level": lambda hit, level, times: level,
    "start": lambda hit, level, times: time_text(hit.start_s, times),
    "end": lambda hit, level, times: time_text(hit.end_s, times),
    "best": lambda hit, level, times: time_text(hit.best_s, times),
    "start_s": lambda hit, level, times: hit.start_s,
    "end_s": lambda hit, level, times: hit.end_s,
    "best_s": lambda hit, level, times: hit.best_s,
    "duration_s": lambda hit, level, times: hit.end_s - hit.start_s,
    "path": lambda hit, level, times: str(hit.path),
    "name": lambda hit, level, times: hit.path.name,
    "folder": lambda hit, level, times: str(hit.path.parent),
    "model": lambda hit, level, times: hit.model,
}
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}


def checked_format(pattern: str | None) -> str | None:
    """The pattern with its escapes read; callback of the option. BadParameter says what is wrong with it."""
    if pattern is None:
        return None
    pattern = _unescaped(pattern)
    try:
        for _, name, spec, conversion in Formatter().parse(pattern):
            if name is not None:
                _check(name, spec or "", conversion)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write {{{{ for a brace") from None
    return pattern if pattern.endswith(("\n", "\0")) else f"{pattern}\n"


def line_of(pattern: str, hit: Hit, level: str, time_format: TimeFormat) -> str:
    """What a checked pattern makes of a hit."""
    values = {name: FIELDS[name](hit, level, time_format) for _, name, _, _ in Formatter().parse(pattern) if name}
    return pattern.format_map(values)


def _check(name: str, spec: str, conversion: str | None) -> None:
    if name not in FIELDS:
        from difflib import get_close_matches  # late: only a mistake needs it

        near = get_close_matches(name, FIELDS, n=1)
        advice = f"did you mean {{{near[0]}}}?" if near else f"known are {', '.join(FIELDS)}"
        raise typer.BadParameter(f"{{{name}}} is not a field of a hit; {advice}")
    if conversion is not None or "{" in spec:
        raise typer.BadParameter(f"{{{name}}} takes a plain format, as in {{score:.2f}}")
    example: Any = 1 if name == "number" else 0.5 if name == "score" or name.endswith("_s") else "x"
    try:
        format(example, spec)
    except ValueError as error:
        raise typer.BadParameter(f"{{{name}:{spec}}}: {error}") from None


def _unescaped(text: str) -> str:
    """`\\t`, `\\n`, `\\0` and `\\\\` as what they stand for; another backslash stays."""
    read, place = [], 0
    while place < len(text):
        pair = text[place : place + 2]
        read.append(_ESCAPES.get(pair, text[place]))
        place += 2 if pair in _ESCAPES else 1
    return "".join(read)
