"""`query --queries`: many queries with one load of the model, a JSON object each."""

from __future__ import annotations

from pathlib import Path

from vidsearch.cli import show
from vidsearch.cli.finding import open_finder
from vidsearch.cli.lists import listed_lines
from vidsearch.cli.query_options import Given
from vidsearch.cli.show_hits import HitsShown
from vidsearch.errors import EXIT_NOTHING_FOUND, VidsearchError
from vidsearch.query_text.reading import parse_query
from vidsearch.records import Query


def answer_many(place: Path, options_given: Given, model: str, *, show_all: bool) -> int:
    """Answers each line of a file; the exit code is 1 when no query found anything.

    All lines are understood before the first is answered: VidsearchError names one that is not. The hits are not kept
    as the last ones: their numbers would be those of one query of many.
    """
    wanted = [_read(place, number, line, options_given) for number, line in listed_lines(place)]
    anything = False
    with open_finder(model) as finder:
        for query in wanted:
            only_matching = not show_all and query.min_score is None
            found = finder.find(query, only_matching=only_matching, keep=False)
            show.write_json(HitsShown(found, "hms").as_dict())
            anything = anything or bool(found.hits)
    return 0 if anything else EXIT_NOTHING_FOUND


def _read(place: Path, number: int, line: str, options_given: Given) -> Query:
    try:
        return options_given.with_options(parse_query(line))
    except VidsearchError as error:
        raise VidsearchError(f"{'stdin' if str(place) == '-' else place}, line {number}: {error}") from error
