"""A query's terms become one vector, and the windows near it moments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from fakes import ColourEmbedder
from hypothesis import given, settings
from hypothesis import strategies as st

from vidsearch.errors import LibraryError, VidsearchError
from vidsearch.records import ClipWindow, IndexedVideo, Query, Term, Under, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library, open_library
from vidsearch.workflows.aim import Aim, aim_of
from vidsearch.workflows.query import QueryOptions, find_moments


def aim(*terms: Term) -> Aim:
    return aim_of(terms, lambda given: ColourEmbedder().embed([term.text for term in given]))


def vector(*terms: Term) -> list[float]:
    return [round(float(value), 6) for value in aim(*terms).vector]


def test_the_vector_of_one_term_is_that_of_its_words() -> None:
    assert vector(Term("red")) == vector(Term("red", 0.5)) == [1, 0, 0]


def test_terms_are_weighed_summed_and_made_unit_again() -> None:
    assert vector(Term("red", 3), Term("blue", 4)) == [0.6, 0, 0.8]
    assert np.linalg.norm(aim(Term("red", 2), Term("red green", -1)).vector) == pytest.approx(1)


def test_terms_that_cancel_each_other_are_refused() -> None:
    with pytest.raises(VidsearchError, match="cancel each other"):
        vector(Term("red"), Term("red", -1))


@pytest.mark.parametrize("terms", [(), (Term(" "),), (Term("red"), Term(""))])
def test_an_empty_query_is_refused(terms: tuple[Term, ...]) -> None:
    with pytest.raises(VidsearchError, match="The query is empty"):
        vector(*terms)


def test_a_query_is_shown_by_its_terms() -> None:
    assert Query((Term("a dog"), Term("snow", 0.5))).text == "a dog + snow"


def test_an_order_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with Library.open(tmp_path / "home") as library:
        put(library, Path("/videos/a.mp4"), RED)
        with pytest.raises(ValueError, match="sorted by score, time, date, name, not by 'size'"):
            find_moments(library, ColourEmbedder(), Query((Term("red"),), sort="size"))  # type: ignore[arg-type]


def test_an_address_that_is_no_folder_is_refused_and_nothing_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LibraryError, match="postgres://host/videos is none: give the path"):
        open_library("postgres://host/videos")
    assert list(tmp_path.iterdir()) == []


RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def put(library: Library, path: Path, *colours: tuple[float, float, float]) -> None:
    """A video of windows of 2 s, one after the other, whose vectors are the colours."""
    windows = tuple(ClipWindow(2.0 * i, 2.0 * i + 2, (2.0 * i,)) for i in range(len(colours)))
    length_s = 2.0 * len(colours)
    facts = VideoFacts(0.0, length_s, 10.0, round(10 * length_s), 64, 64, "h264", "mp4", 0, "decord")
    vectors = np.array(colours, dtype=np.float32)
    library.record_indexed(
        IndexedVideo(
            VideoFile(path, 1000, 1),
            f"content of {path.name}",
            facts,
            windows,
            vectors,
            model=ColourEmbedder.model,
            window_spec=WindowSpec(2.0, 2.0, 8),
        )
    )


@pytest.fixture
def library(own_home: Path) -> Iterator[Library]:
    """a/rainbow.mp4: red, red, green, blue, red; a/pale.mp4: reddish; b/red.mp4: red."""
    with Library.open(own_home) as opened:
        put(opened, Path("/v/a/rainbow.mp4"), RED, RED, GREEN, BLUE, RED)
        put(opened, Path("/v/a/pale.mp4"), (0.8, 0.6, 0.0))
        put(opened, Path("/v/b/red.mp4"), RED)
        yield opened


def found(library: Library, query: Query) -> list[tuple[str, float, float, float]]:
    hits = find_moments(library, ColourEmbedder(), query)
    assert [hit.number for hit in hits] == list(range(1, len(hits) + 1))
    return [(hit.path.name, hit.start_s, hit.end_s, round(hit.score, 2)) for hit in hits]


def test_the_moments_that_answer_come_best_first_and_neighbours_are_one(library: Library) -> None:
    assert found(library, Query((Term("a red thing"),)))[:4] == [
        ("rainbow.mp4", 0, 4, 1.0),
        ("rainbow.mp4", 8, 10, 1.0),
        ("red.mp4", 0, 2, 1.0),
        ("pale.mp4", 0, 2, 0.8),
    ]


def test_top_and_per_video_bound_what_is_shown(library: Library) -> None:
    assert [name for name, *_ in found(library, Query((Term("red"),), top=2))] == ["rainbow.mp4"] * 2
    shown = [name for name, *_ in found(library, Query((Term("red"),), per_video=1))]
    assert shown == ["rainbow.mp4", "red.mp4", "pale.mp4"]


def test_a_filter_leaves_the_other_videos_out(library: Library) -> None:
    below_b = Query((Term("red"),), (Under(Path("/v/b")),))
    assert found(library, below_b) == [("red.mp4", 0, 2, 1.0)]
    one_file = Query((Term("red"),), (Under(Path("/v/a/pale.mp4")),))
    assert found(library, one_file) == [("pale.mp4", 0, 2, 0.8)]
    assert found(library, Query((Term("red"),), (Under(Path("/v/c")),))) == []


def test_a_score_too_low_is_left_out(library: Library) -> None:
    assert [score for *_, score in found(library, Query((Term("red"),), min_score=0.9))] == [1.0, 1.0, 1.0]


def test_a_query_without_a_known_word_finds_nothing(library: Library) -> None:
    assert found(library, Query((Term("a zebra"),))) == []


def test_two_terms_find_what_is_like_both(library: Library) -> None:
    assert found(library, Query((Term("red", 0.8), Term("green", 0.6)), top=1)) == [("pale.mp4", 0, 2, 1.0)]


def test_another_model_is_an_error_that_says_which_there_is(library: Library) -> None:
    other = ColourEmbedder()
    other.model = "shapes"
    with pytest.raises(LibraryError, match="only with colours"):
        find_moments(library, other, Query((Term("red"),)))


def test_a_text_with_options_is_still_a_query(library: Library) -> None:
    options = QueryOptions(top=1, under=Path("/v/b"))
    assert [hit.path.name for hit in find_moments(library, ColourEmbedder(), "red", options)] == ["red.mp4"]
    assert len(find_moments(library, ColourEmbedder(), "red", QueryOptions())) == len(
        find_moments(library, ColourEmbedder(), "red")
    )


def test_asking_for_moments_does_not_keep_them(library: Library) -> None:
    """Keeping the hits of the last query is the command's."""
    find_moments(library, ColourEmbedder(), Query((Term("red"),)))
    assert library.last_hits() == ("", [])


def test_what_is_nearer_to_a_negative_term_is_not_shown(library: Library) -> None:
    assert {name for name, *_ in found(library, Query((Term("red"),), per_video=9))} == {
        "rainbow.mp4",
        "pale.mp4",
        "red.mp4",
    }
    put(library, Path("/v/b/orange.mp4"), (0.6, 0.8, 0.0))
    hits = found(library, Query((Term("red"), Term("green", -0.1)), per_video=9))
    assert ("orange.mp4", 0, 2) not in [hit[:3] for hit in hits]
    assert ("rainbow.mp4", 4, 6) not in [hit[:3] for hit in hits]
    assert [hit[:3] for hit in hits][-1] == ("rainbow.mp4", 6, 8)  # as far from both
    assert {"rainbow.mp4", "pale.mp4", "red.mp4"} == {name for name, *_ in hits}


def test_a_moment_of_a_query_with_a_negative_term_is_judged_by_the_positive_ones(library: Library) -> None:
    hits = find_moments(library, ColourEmbedder(), Query((Term("red"), Term("blue", -0.5)), per_video=1))
    assert [(hit.path.name, round(hit.level_score, 2)) for hit in hits] == [
        ("rainbow.mp4", 1.0),
        ("red.mp4", 1.0),
        ("pale.mp4", 0.8),
    ]


def test_a_video_that_fills_the_nearest_windows_does_not_hide_the_others(own_home: Path) -> None:
    with Library.open(own_home) as library:
        put(library, Path("/v/long.mp4"), *[RED, BLUE] * 450)
        for number in range(5):
            put(library, Path(f"/v/{number}.mp4"), (0.8, 0.6, 0.0))
        names = [name for name, *_ in found(library, Query((Term("red"),), top=8))]
    assert names == ["long.mp4"] * 3 + ["0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4"]


words = st.sampled_from(["red", "green", "blue", "red green", "green blue", "red red blue"])
terms = st.lists(st.builds(Term, words, st.floats(0.1, 3) | st.floats(-0.5, -0.1)), min_size=1, max_size=4)


@given(terms, st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_terms_changes_nothing(given_terms: list[Term], random: Random) -> None:
    shuffled = random.sample(given_terms, len(given_terms))
    try:
        expected = aim(*given_terms)
    except VidsearchError as error:
        with pytest.raises(VidsearchError, match=re.escape(str(error)[:20])):
            aim(*shuffled)
        return
    assert (aim(*shuffled).vector == expected.vector).all()
    assert (aim(*shuffled).positive == expected.positive).all()


@given(st.lists(st.builds(Term, words, st.floats(0.1, 3)), min_size=1, max_size=4), st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_weights_are_linear(given_terms: list[Term], factor: float) -> None:
    """All weights times a factor say the same; a term twice is a term of twice the weight."""
    expected = aim(*given_terms).vector
    scaled = [Term(term.text, factor * term.weight) for term in given_terms]
    assert aim(*scaled).vector == pytest.approx(expected, abs=1e-6)
    first, *rest = given_terms
    assert aim(first, *given_terms).vector == pytest.approx(
        aim(Term(first.text, 2 * first.weight), *rest).vector, abs=1e-6
    )
