"""Query → the line and the arguments that `reading` makes the same query of."""

from __future__ import annotations

from dataclasses import fields

from vidsearch.query_text import values
from vidsearch.query_text.keys import FILTERS, SHOWN
from vidsearch.query_text.mistakes import QueryMistake
from vidsearch.query_text.reading import parse_arguments, parse_query
from vidsearch.records import AnyTerm, Filter, Query, Term

_DEFAULTS = {field.name: field.default for field in fields(Query)}


def format_query(query: Query) -> str:
    """The query as a line: `parse_query` gives it back. Words stand in quotes only where they must."""
    return " ".join(query_pieces(query))


def query_pieces(query: Query) -> list[str]:
    """The pieces of the line; each is also an argument that a command line takes."""
    pieces: list[str] = []
    goes_on = False  # the last piece were words without quotes, which words that follow would join
    for term in query.terms:
        pieces.append(_term(term, quoted=goes_on))
        goes_on = isinstance(term, Term) and term.weight == 1 and not pieces[-1].startswith('"')
    pieces += [_filter(it) for it in query.filters]
    for key, show in SHOWN.items():
        value = getattr(query, show.field)
        if value != _DEFAULTS[show.field]:
            pieces.append(f"{key}:{show.write(value)}")
    return pieces


def _term(term: AnyTerm, *, quoted: bool) -> str:
    marks = "-" if term.weight < 0 else ""
    if abs(term.weight) != 1:
        marks += f"{values.number_text(abs(term.weight))}:"
    if isinstance(term, Term):
        plain = marks + term.text
        return plain if not (quoted and not marks) and _says(plain, term) else marks + _in_quotes(term.text)
    name, span = values.source_text(term)
    plain = f"{marks}like:{name}{span}"
    return plain if _says(plain, term) else f"{marks}like:{_in_quotes(name)}{span}"


def _filter(filter: Filter) -> str:
    key, entry = next((key, entry) for key, entry in FILTERS.items() if entry.kind is type(filter))
    value = entry.write(filter)
    plain = f"{key}:{value}"
    return plain if _says(plain, filter) else f"{key}:{_in_quotes(value)}"


def _says(text: str, wanted: AnyTerm | Filter) -> bool:
    """Whether a text, alone in a line or as an argument, is understood as this and nothing else."""
    try:
        read = [parse_query(text), parse_arguments([text])]
    except QueryMistake:
        return False
    return all([*query.terms, *query.filters] == [wanted] for query in read)


def _in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
