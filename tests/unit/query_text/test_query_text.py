"""Written queries: what they say, that they come back, and where a mistake is."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.query_text.keys import KEYS
from vidsearch.query_text.mistakes import QueryMistake
from vidsearch.query_text.reading import parse_arguments, parse_query, weighted_source, weighted_words
from vidsearch.query_text.writing import format_query, query_pieces
from vidsearch.records import (
    Before,
    LikeFile,
    LikeHit,
    MaxDuration,
    MinDuration,
    MinHeight,
    Named,
    NotUnder,
    Query,
    ReadBy,
    Since,
    Suffix,
    Term,
    Under,
)


def test_each_argument_is_a_piece() -> None:
    query = parse_arguments(
        ["dog jumping", "-snow", "0.5:beach", "like:holiday.mp4@00:12-00:20", "like:3", "like:photo.jpg"]
    )
    assert query.terms == (
        Term("dog jumping"),
        Term("snow", -1),
        Term("beach", 0.5),
        LikeFile(Path("holiday.mp4"), 12, 20),
        LikeHit(3),
        LikeFile(Path("photo.jpg")),
    )


def test_a_line_says_the_same() -> None:
    line = 'dog jumping -snow 0.5:"sunny beach" -2:like:"my clip.mp4"@-0:20 ext:MP4 under:~/v top:3 sort:date'
    assert parse_query(line) == Query(
        (Term("dog jumping"), Term("snow", -1), Term("sunny beach", 0.5), LikeFile(Path("my clip.mp4"), None, 20, -2)),
        (Suffix("mp4"), Under(Path("~/v"))),
        top=3,
        sort="date",
    )


def test_words_in_a_row_are_one_term_and_what_is_quoted_is_its_own() -> None:
    assert parse_arguments(["dog", "jumping"]) == parse_query("dog   jumping") == Query((Term("dog jumping"),))
    assert parse_arguments(["red car", "beach"]) == parse_query('"red car" beach')
    assert parse_query('"red car" beach').terms == (Term("red car"), Term("beach"))


@pytest.mark.parametrize(
    "words",
    [
        "dog -snow",
        "-5 degrees",
        "--help",
        "- a list",
        "16:9",
        "2:30 train",
        "at 2:30",
        "like: a dog",
        "note: a dog",
        "since: always",
        "C++: a course",
        "5' 10\" man",
        '"red" and "blue"',
        "what is it?",
        "top 10: songs",
        " dog ",
    ],
)
def test_plain_words_stay_words(words: str) -> None:
    assert parse_arguments([words]) == Query((Term(words),))


@pytest.mark.parametrize("key", ["like", *KEYS])
def test_a_key_that_ends_the_query_lacks_its_value(key: str) -> None:
    for read in (lambda: parse_query(f"dog {key}:"), lambda: parse_arguments(["dog", f"{key}:"])):
        with pytest.raises(QueryMistake, match=f"^{key}: "):
            read()
    assert parse_query(f"{key}: a dog") == parse_arguments([f"{key}:", "a", "dog"]) == Query((Term(f"{key}: a dog"),))
    assert parse_query(f'"{key}:"') == parse_arguments([f'"{key}:"']) == Query((Term(f"{key}:"),))


def test_words_that_look_like_something_else_stand_in_quotes() -> None:
    assert parse_arguments(['"-snow"']).terms == parse_query('"-snow"').terms == (Term("-snow"),)
    assert parse_arguments(['0.5:"3 dogs"']).terms == (Term("3 dogs", 0.5),)
    assert parse_query(r'"say \"hi\" \\"').terms == (Term('say "hi" \\'),)


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ("dog since:2025-13", "          ^^^^^^^", "there is no date 2025-13"),
        ("dog since:lately", "          ^^^^^^", "'lately' is not a date"),
        ('dog "a beach', "    ^", "not closed"),
        ('dog 2:"a"b', "         ^", "closing quote"),
        ("dog -under:x y", "    ^", "write not-under:x"),
        ("dog 2:ext:mp4", "    ^^", "takes no weight"),
        ("dog 0:beach", "    ^", "above 0"),
        ("like:a@3-1 x", "     ^^^^^", "is empty"),
        ("犬 top:x", "       ^", "'x' is not a whole number"),
        ("dog sort:size", "         ^^^^", "'size' is not score, time, date or name"),
        ("dog name:a/b", "         ^^^", "without folders"),
        ("dog min-score:2", "              ^", "from -1 to 1"),
        ("dog exact:maybe", "          ^^^^^", "yes or no"),
        ("dog max-duration:long", "                 ^^^^", "not a length"),
        ("dog min-height:0", "               ^", "from 1 up"),
        ('like:"a b"c', "     ^^^^^^", "closing quote"),
        ("like:a@1:2:3:4-5", "     ^^^^^^^^^^^", "not a time"),
        ("dog like:", "         ^", "like: nothing is named; write like:photo.jpg"),
        ("dog -0.5:like: ", "              ^", "like: nothing is named"),
        ('like:"" dog', "     ^^", "like: nothing is named"),
        ("dog under:", "          ^", "under: the path is empty"),
        ("since:", "      ^", "since: '' is not a date"),
        ("dog sort:", "         ^", "sort: '' is not score, time, date or name"),
        ("dog -ext:", "    ^", "ext: takes no minus"),
    ],
)
def test_a_mistake_is_shown_where_it_is(line: str, place: str, says: str) -> None:
    with pytest.raises(QueryMistake) as caught:
        parse_query(line)
    assert (caught.value.text, caught.value.caret) == (line, place)
    assert says in str(caught.value)


def test_dates_are_spans_and_lengths_have_units() -> None:
    query = parse_query(
        "x since:2025 until:2025 until:2024-12 since:2025-07-14T18:30 min-duration:1.5m max-duration:2h"
    )
    assert query.filters == (
        Since(datetime(2025, 1, 1)),
        Before(datetime(2026, 1, 1)),
        Before(datetime(2025, 1, 1)),
        Since(datetime(2025, 7, 14, 18, 30)),
        MinDuration(90),
        MaxDuration(7200),
    )


def test_options_take_a_weight_and_nothing_else() -> None:
    assert weighted_words("0.5:a beach") == Term("a beach", 0.5)
    assert weighted_words("-snow", -1) == Term("-snow", -1)
    assert weighted_words("2:30 train") == Term("2:30 train")
    assert weighted_source("2:clip.mp4@1-2") == LikeFile(Path("clip.mp4"), 1, 2, 2)


seconds = st.floats(0, 1e6, allow_nan=False)
weights = st.builds(lambda size, sign: sign * size, st.floats(1e-3, 1e3) | st.just(1.0), st.sampled_from([1, -1]))
words = st.text(min_size=1) | st.sampled_from(
    ["dog", "-snow", "0.5:x", 'a "b" c', "like:3", "since:2025", "a  b", "\\"]
)
words = words.filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
paths = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
    | st.sampled_from(["3", "a@1-2", "/v/my clip.mp4", "~/x", 'a"b'])
    | st.binary(min_size=1).filter(lambda name: b"\0" not in name).map(os.fsdecode)
).map(Path)
spans = st.one_of(
    st.just((None, None)),
    st.tuples(seconds, st.none()),
    st.tuples(st.none(), st.floats(0.001, 1e6)),
    st.tuples(seconds, st.floats(0.5, 1e6)).map(lambda pair: (pair[0], pair[0] + pair[1])),
)
terms = st.one_of(
    st.builds(Term, words, weights),
    st.builds(lambda path, span, weight: LikeFile(path, *span, weight), paths, spans, weights),
    st.builds(LikeHit, st.integers(1, 999), weights),
)
moments = st.datetimes(datetime(1, 1, 3), datetime(9998, 1, 1)).map(lambda moment: moment.replace(microsecond=0))
moments = moments | moments.map(lambda moment: datetime(moment.year, moment.month, moment.day))
filters = st.one_of(
    st.builds(Under, paths),
    st.builds(NotUnder, paths),
    st.builds(Named, words.filter(lambda text: "/" not in text)),
    st.builds(Suffix, st.sampled_from(["mp4", "tar.gz", 'o"d d'])),
    st.builds(ReadBy, st.sampled_from(["decord", "pyav"])),
    st.builds(Since, moments),
    st.builds(Before, moments.map(lambda moment: moment + timedelta(days=1))),
    st.builds(MinDuration, seconds),
    st.builds(MaxDuration, seconds),
    st.builds(MinHeight, st.integers(1, 9999)),
)
queries = st.builds(
    Query,
    st.lists(terms, max_size=4).map(tuple),
    st.lists(filters, max_size=3).map(tuple),
    top=st.integers(1, 99),
    per_video=st.integers(1, 9),
    min_score=st.none() | st.floats(-1, 1),
    exact=st.booleans(),
    sort=st.sampled_from(["score", "time", "date", "name"]),
    group=st.sampled_from([None, "video"]),
    duplicates=st.booleans(),
    sources=st.booleans(),
)


@given(queries)
@settings(max_examples=120, deadline=None)
def test_what_is_written_comes_back(query: Query) -> None:
    assert parse_query(format_query(query)) == query
    assert parse_arguments(query_pieces(query)) == query


@given(st.text())
@settings(max_examples=120, deadline=None)
def test_any_text_is_a_query_or_a_mistake_within_it(text: str) -> None:
    for parse in (parse_query, lambda given: parse_arguments([given])):
        try:
            query = parse(text)
        except QueryMistake as mistake:
            assert 0 <= mistake.start < mistake.end <= len(text)
        else:
            assert parse_query(format_query(query)) == query
