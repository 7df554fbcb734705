"""How results look: a table on a terminal, tab-separated lines in a pipe, JSON where asked.

File names are other people's text: never read as markup, and written with their own bytes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vidsearch.cli.late import typer
from vidsearch.errors import VidsearchError
from vidsearch.query_text.mistakes import QueryMistake

_NEVER_WRAPPED = 14  # signs of a cell: numbers, times, levels; what is longer gives way on a narrow terminal
_LEAST_WRAPPED = 10  # cells of a terminal that such a column still gets


def write(text: str) -> None:
    """To stdout at once. A pipe gets names with their own bytes, also those that are not valid UTF-8; a terminal gets
    no control characters: they are shown, as escapes.
    """
    _emit(on_terminal(text).encode("utf-8", "surrogateescape"))


def write_escapes(text: str) -> None:
    """To stdout as it is, for escapes of our own; what is other people's in it went through `printable` before."""
    _emit(text.encode("utf-8", "surrogateescape"))


def write_json(value: Any) -> None:
    """One JSON document on one line. Bytes that are not UTF-8 appear as \\udcXX, which Python's os.fsencode undoes."""
    text = json.dumps(value, ensure_ascii=False)
    if sys.stdout.isatty():
        text = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
    _emit(text.encode("utf-8", "backslashreplace") + b"\n")


def _emit(data: bytes) -> None:
    """Writes and flushes; where nobody reads any more (`| head`) the program ends quietly, as done.

    Raises VidsearchError if the system takes no more, as on a full disk.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        leave_stdout()
        raise typer.Exit(0) from None
    except OSError as error:
        leave_stdout()
        raise VidsearchError(f"The output cannot be written ({error.strerror}).") from error


def leave_stdout() -> None:
    """What is still to be written goes nowhere: the interpreter's own last flush would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_quiet = False


def keep_quiet(wanted: bool = True) -> bool:
    """From now on only results and errors are written (-q); callback of the option, hence the value given back."""
    global _quiet
    _quiet = _quiet or wanted
    return wanted


def speak_again() -> None:
    """For a process that runs another command line."""
    global _quiet
    _quiet = False


def is_quiet() -> bool:
    return _quiet


def say(text: str) -> None:
    """To stderr, unless -q was given: everything that is neither a result nor an error."""
    if not _quiet:
        warn(text)


def warn(text: str) -> None:
    """To stderr, -q or not: an error. A stderr that takes nothing is no reason to stop."""
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def say_error(error: VidsearchError) -> None:
    """What is wrong, and the ways on, a line each."""
    if isinstance(error, QueryMistake):
        _say_mistake(error)
        return
    if not error.ways:
        warn(f"vidsearch: {error}")
        return
    warn(f"vidsearch: {str(error).rstrip('.')}. Do one of these:")
    for way in error.ways:
        warn(f"  {way}")


def _say_mistake(mistake: QueryMistake) -> None:
    """What is wrong with a written query, and under the query a caret at the place."""
    before, at, after = (printable(text) for text in mistake.parts)
    shown = QueryMistake("", before + at + after, len(before), len(before + at))
    warn(f"vidsearch: {mistake}")
    warn(f"  {shown.text}")
    warn(f"  {shown.caret}")


def about(path: Path, sentence: str | None) -> str:
    """A sentence with the file that it is about, named once."""
    sentence = sentence or ""
    return sentence if str(path) in sentence else f"{path}: {sentence}"


def without_name(path: Path, sentence: str | None) -> str:
    """A sentence about a file, for a table in which the file has a column of its own."""
    return (sentence or "").removeprefix(f"{path} ")


def place(path: Path) -> str:
    """A path in a table: on a terminal from the current folder on, if it lies below; it can be typed as it stands."""
    here = Path.cwd()
    if not sys.stdout.isatty() or here not in path.parents:
        return str(path)
    below = str(path.relative_to(here))
    return f"./{below}" if below.startswith("-") else below


def printable(text: str) -> str:
    """Text for a message: control characters escaped, bytes that are not UTF-8 shown as `\\xe9`."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def on_terminal(text: str) -> str:
    """Text for stdout: on a terminal its control characters but tab and newline are escaped, in a pipe it stays."""
    return printable_lines(text) if sys.stdout.isatty() else text


def printable_lines(text: str) -> str:
    """As `printable`, for text of several lines: newlines and tabs stay."""
    return "".join(piece if piece in ("\n", "\t") else printable(piece) for piece in re.split(r"([\n\t])", text))


def one_line(text: str) -> str:
    """A field of a tab-separated line: backslash, tab, newline and carriage return escaped."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def counted(number: int, noun: str) -> str:
    """`1 video`, `2 videos`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(size_bytes: float) -> str:
    """`12.3 MB`, in powers of ten as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def table_or_lines(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Mapping[str, bool] = {}) -> None:
    """A table on a terminal, nothing where there is no row; in a pipe one tab-separated line a row, no header.

    On a terminal too narrow for it, each row is a paragraph: its short cells, then each long one on a line of its own.
    """
    if not sys.stdout.isatty():
        write("".join("\t".join(one_line(cell) for cell in row) + "\n" for row in rows))
        return
    rows = list(rows)
    if not rows:
        return  # a header alone says nothing
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    heads = [Text(header, "bold") for header in headers]
    cells = [[Text(printable(cell)) for cell in row] for row in rows]
    short = [all(cell.cell_len <= _NEVER_WRAPPED for cell in column) for column in zip(*cells, strict=True)]
    widths = [max(cell.cell_len for cell in column) for column in zip(heads, *cells, strict=True)]
    least = [width if never else _LEAST_WRAPPED for width, never in zip(widths, short, strict=True)]
    if sum(least) + 2 * len(least) - 2 > console.width:
        for row in [heads, *cells] if any(headers) else cells:
            first = Text("  ").join(cell for cell, never in zip(row, short, strict=True) if never)
            others = [cell for cell, never in zip(row, short, strict=True) if not never]
            console.print(*filter(None, [first, *others]), sep="\n", overflow="fold")
        return
    table = Table(box=None, pad_edge=False, show_header=any(headers))
    for head, never in zip(heads, short, strict=True):
        table.add_column(head, justify="right" if right.get(head.plain) else "left", overflow="fold", no_wrap=never)
    for row in cells:
        table.add_row(*row)
    console.print(table)
