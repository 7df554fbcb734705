"""A query's terms become one vector."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import ColourEmbedder

from vidsearch.errors import VidsearchError
from vidsearch.records import Query, Term
from vidsearch.workflows.query import query_vector


def vector(*terms: Term) -> list[float]:
    return [round(float(value), 6) for value in query_vector(terms, ColourEmbedder())]


def test_the_vector_of_one_term_is_that_of_its_words() -> None:
    assert vector(Term("red")) == vector(Term("red", 0.5)) == [1, 0, 0]


def test_terms_are_weighed_summed_and_made_unit_again() -> None:
    assert vector(Term("red", 3), Term("blue", 4)) == [0.6, 0, 0.8]
    assert np.linalg.norm(query_vector([Term("red", 2), Term("red green", -1)], ColourEmbedder())) == pytest.approx(1)


def test_terms_that_cancel_each_other_are_refused() -> None:
    with pytest.raises(VidsearchError, match="cancel each other"):
        vector(Term("red"), Term("red", -1))


@pytest.mark.parametrize("terms", [(), (Term(" "),), (Term("red"), Term(""))])
def test_an_empty_query_is_refused(terms: tuple[Term, ...]) -> None:
    with pytest.raises(VidsearchError, match="The query is empty"):
        vector(*terms)


def test_a_query_is_shown_by_its_terms() -> None:
    assert Query((Term("a dog"), Term("snow", 0.5))).text == "a dog + snow"
