"""The options that say what is looked for, where, and how much of it is shown: for every command that searches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from vidsearch.cli import completing, options
from vidsearch.cli.late import typer
from vidsearch.cli.line_format import checked_format
from vidsearch.cli.lists import listed_paths
from vidsearch.errors import VidsearchError
from vidsearch.frozen import dataclass
from vidsearch.query_text.keys import FILTERS, SHOWN
from vidsearch.query_text.mistakes import QueryMistake
from vidsearch.query_text.reading import parse_arguments, weighted_source, weighted_words
from vidsearch.records import AnyTerm, Filter, LikeFile, Query, Term, Under
from vidsearch.timecode import TimeFormat

if TYPE_CHECKING:
    from vidsearch.store.interface import Library

_Value = TypeVar("_Value")


def _filter(key: str) -> Callable[[str], Filter]:
    return told(FILTERS[key].read)


def told(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """Reads the value of an option: what is wrong with it is told as typer does."""

    def parse(text: str) -> _Value:
        try:
            return read(options.typed_text(text))
        except (ValueError, QueryMistake) as error:
            raise typer.BadParameter(str(error).rstrip(".")) from None

    return parse


Pieces = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT...", help="What to look for; - reads it from stdin. -TEXT, 0.5:TEXT, like:FILE after --."
    ),
]
Add = Annotated[
    list[Any] | None,
    typer.Option("--add", parser=told(weighted_words), metavar="TEXT", help="Also like this; 0.5:TEXT weighs it."),
]
Subtract = Annotated[
    list[Any] | None,
    typer.Option(
        "--subtract",
        parser=told(lambda text: weighted_words(text, -1)),
        metavar="TEXT",
        help="Not like this; 0.5:TEXT weighs it.",
    ),
]
Like = Annotated[
    list[Any] | None,
    typer.Option(
        "--like",
        parser=told(weighted_source),
        metavar="WHAT",
        help="Like a picture, CLIP, CLIP@12-20, or a hit's number.",
    ),
]
Under_ = Annotated[
    list[Any] | None,
    typer.Option(
        "--under",
        parser=_filter("under"),
        metavar="PATH",
        help="Only in this folder, or this file; repeatable.",
        autocompletion=completing.indexed_folders,
    ),
]
NotUnder_ = Annotated[
    list[Any] | None,
    typer.Option("--not-under", parser=_filter("not-under"), metavar="PATH", help="Not in this folder."),
]
Name = Annotated[
    list[Any] | None,
    typer.Option("--name", parser=_filter("name"), metavar="GLOB", help="Only files named like this: 'IMG_*'."),
]
Ext = Annotated[
    list[Any] | None, typer.Option("--ext", parser=_filter("ext"), metavar="EXT", help="Only files that end so: mp4.")
]
Since = Annotated[
    Any, typer.Option("--since", parser=_filter("since"), metavar="DATE", help="Recorded then or later: 2025-07.")
]
Until = Annotated[
    Any, typer.Option("--until", parser=_filter("until"), metavar="DATE", help="Recorded then or before: 2025-07-14.")
]
MinDuration = Annotated[
    Any,
    typer.Option("--min-duration", parser=_filter("min-duration"), metavar="TIME", help="Videos this long: 90, 2m."),
]
MaxDuration = Annotated[
    Any,
    typer.Option("--max-duration", parser=_filter("max-duration"), metavar="TIME", help="Videos no longer than this."),
]
MinHeight = Annotated[
    Any, typer.Option("--min-height", parser=_filter("min-height"), metavar="PIXELS", help="Pictures this high: 1080.")
]
Reader = Annotated[
    list[Any] | None,
    typer.Option("--reader", parser=_filter("reader"), metavar="NAME", help="Only videos read by decord, or by pyav."),
]
Top = Annotated[int, typer.Option("--top", "-k", min=1, help="How many moments to show.")]
PerVideo = Annotated[int, typer.Option("--per-video", min=1, help="At most so many moments of one video.")]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=-1, max=1, help="Only moments with this score or more, whatever their level."),
]
Sort = Annotated[
    str, typer.Option("--sort", parser=told(SHOWN["sort"].read), metavar="BY", help="score, time, date or name.")
]
Group = Annotated[
    str | None,
    typer.Option("--group", parser=told(SHOWN["group"].read), metavar="video", help="One line a video."),
]
Duplicates = Annotated[bool, typer.Option("--duplicates", help="Also moments that show the same as a better one.")]
Exact = Annotated[bool, typer.Option("--exact", help="Compare with every window, whatever the library's size.")]

JsonLines = Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line, one for each moment.")]
FilesOnly = Annotated[bool, typer.Option("--files-only", "-f", help="Print each file once, best first.")]
Null = Annotated[bool, typer.Option("-0", help="With -f: end each name with a NUL byte, unchanged.")]
LineFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        callback=checked_format,
        metavar="PATTERN",
        help=r"Print a line like this for each moment: '{path}\t{start}\t{score:.2f}'.",
    ),
]
UnderFrom = Annotated[
    Path | None,
    typer.Option(
        "--under-from",
        parser=options.given_path,
        metavar="FILE",
        help="Only in the places that FILE lists; - is stdin.",
    ),
]
Times = Annotated[TimeFormat, typer.Option("--time-format", help="Times as hours:minutes:seconds or as seconds.")]


@dataclass(frozen=True, slots=True)
class Given:
    """What the options say; an option goes before what the pieces say of the same."""

    pieces: Sequence[str] = ()
    terms: Sequence[AnyTerm] = ()
    filters: Sequence[Filter] = ()
    shown: dict[str, Any] = field(default_factory=dict)  # fields of Query that are not at their default

    def query(self) -> Query:
        """The query. Raises QueryMistake for a piece that cannot be understood, VidsearchError for one not in UTF-8."""
        return self.with_options(parse_arguments([piece_text(piece) for piece in self.pieces]))

    def with_options(self, written: Query) -> Query:
        """A written query with what the options say. Raises VidsearchError for words that are not UTF-8."""
        terms = (*written.terms, *self.terms)
        for term in terms:
            if isinstance(term, Term):
                _check_utf8(term.text)
        return replace(written, terms=terms, filters=(*written.filters, *self.filters), **self.shown)


def places_of(listed: Path | None) -> list[Filter]:
    """The filters of `--under-from`. VidsearchError if the list names no place: it would filter nothing."""
    if listed is None:
        return []
    places: list[Filter] = [Under(options.absolute(path)) for path in listed_paths(listed)]
    if not places:
        raise VidsearchError(f"{listed} lists no place to search; leave out --under-from to search everywhere.")
    return places


def given(*values: Any) -> list[Any]:
    """The values of options, those that can be repeated one after the other; those left out are not among them."""
    return [item for value in values for item in (value if isinstance(value, list) else [value]) if item is not None]


def changed(**fields_: Any) -> dict[str, Any]:
    """The fields of Query that differ from their defaults."""
    default = Query(())
    return {name: value for name, value in fields_.items() if value != getattr(default, name)}


def piece_text(piece: str) -> str:
    """A piece as UTF-8 text, read from stdin for -."""
    if piece == "-":
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff").strip()
    return options.typed_text(piece)


def _check_utf8(words: str) -> None:
    try:
        words.encode()
    except UnicodeEncodeError:
        raise VidsearchError(f"The query {words} is not UTF-8 text; write it in UTF-8 and search again.") from None


def with_known_places(query: Query, library: Library) -> Query:
    """The query with its places as the library names them, and files from the current folder on."""
    from vidsearch.workflows.query import known_filter

    terms = tuple(
        replace(term, path=options.known_place(library, term.path)) if isinstance(term, LikeFile) else term
        for term in query.terms
    )
    return replace(query, terms=terms, filters=tuple(known_filter(library, it) for it in query.filters))


def check_places(library: Library, query: Query) -> None:
    """VidsearchError if the library holds no video at a place that was to be searched: it may be misspelt."""
    for place in query.filters:
        if isinstance(place, Under) and not library.videos(place.path):
            raise options.nothing_under(place.path)
