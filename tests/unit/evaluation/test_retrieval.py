"""Recall, middle frames and dual softmax: small cases done by hand, and the shared vectors where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.evaluation.actions import PROMPTS, class_scores, prompts, top
from vidsearch.evaluation.retrieval import dual_softmax, measures, ranks, recall, retrieval
from vidsearch.evaluation.video_vectors import middle_indices
from vidsearch.models.mobileviclip.tokenizer import pre_text

SHARED = Path(__file__).parents[3] / "../shared/parity/mobileclip/eval_helpers.json"


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    if not SHARED.exists():
        pytest.skip("the shared test material is not beside this checkout")
    return json.loads(SHARED.read_text())


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _shared_pairs(case: dict[str, Any]) -> tuple[np.random.RandomState, NDArray[np.float64], NDArray[np.float64]]:
    """The recipe of the file's `how`."""
    generator = np.random.RandomState(case["seed"])
    videos = generator.standard_normal((case["n"], case["dim"]))
    texts = 0.5 * videos + generator.standard_normal((case["n"], case["dim"]))
    return generator, _unit(videos), _unit(texts)


def test_the_middle_frame_of_each_interval_and_repeats_of_the_last() -> None:
    assert middle_indices(16, 8).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert middle_indices(3, 5).tolist() == [0, 1, 2, 2, 2]
    with pytest.raises(ValueError, match="cannot choose 8 of 0"):
        middle_indices(0)


def test_ranks_count_what_scores_higher_than_the_right_answer() -> None:
    scores = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.6], [0.3, 0.2, 0.1]])
    assert ranks(scores).tolist() == [0, 2, 2]
    assert recall(ranks(scores), at=(1, 3)) == {"R@1": pytest.approx(100 / 3), "R@3": 100.0}
    with pytest.raises(ValueError, match="square"):
        ranks(scores[:2])


# Rows are videos, columns texts, the right answers on the diagonal; all that is expected of it was computed apart.
EXAMPLE = np.array(
    [
        [0.31, 0.22, 0.18, 0.30, 0.10],
        [0.25, 0.24, 0.26, 0.20, 0.15],
        [0.12, 0.21, 0.35, 0.19, 0.28],
        [0.30, 0.27, 0.16, 0.29, 0.22],
        [0.14, 0.20, 0.33, 0.11, 0.26],
    ],
    dtype=np.float32,
)
TIED = np.array([[0.3, 0.3, 0.1, 0.3], [0.25, 0.25, 0.25, 0.25], [0.2, 0.1, 0.2, 0.3], [0.4, 0.1, 0.1, 0.4]])


def test_a_worked_example() -> None:
    back, there = measures(EXAMPLE), measures(EXAMPLE.T)
    assert ranks(EXAMPLE).tolist() == [0, 2, 0, 1, 1] and ranks(EXAMPLE.T).tolist() == [0, 1, 0, 1, 1]
    assert (back["r1"], back["r5"], back["mdr"], back["mnr"]) == (40, 100, 2, pytest.approx(1.8))
    assert (there["r1"], there["r5"], there["mdr"], there["mnr"]) == (40, 100, 2, pytest.approx(1.6))
    assert recall(ranks(EXAMPLE), at=(2, 3)) == {"R@2": 80, "R@3": 100}
    assert recall(ranks(EXAMPLE.T), at=(2,)) == {"R@2": 100}
    dual_back, dual_there = dual_softmax(EXAMPLE), dual_softmax(EXAMPLE.T)
    np.testing.assert_allclose(dual_back[0], [0.06736, 0.04364, 0.03327, 0.06497, 0.01802], atol=5e-6)
    np.testing.assert_allclose(dual_there[0], [0.06750, 0.05148, 0.02143, 0.06312, 0.02608], atol=5e-6)
    assert ranks(dual_back).tolist() == [0, 2, 0, 1, 1] and ranks(dual_there).tolist() == [0, 1, 0, 1, 1]


def test_ties_have_a_rule_and_two_bounds() -> None:
    assert ranks(TIED, ties="optimistic").tolist() == [0, 0, 1, 0]
    assert ranks(TIED, ties="pessimistic").tolist() == [2, 3, 2, 1]
    assert ranks(TIED).tolist() == [0, 1, 2, 1]
    own = measures(TIED)
    assert (own["r1_optimistic"], own["r1"], own["r1_pessimistic"]) == (75, 25, 0)


def test_the_best_of_several_right_answers_counts() -> None:
    right = np.array([[True, False, True], [False, True, False]])
    scores = np.array([[0.1, 0.5, 0.4], [0.6, 0.2, 0.2]])
    assert ranks(scores, right).tolist() == [1, 1]
    assert ranks(scores, right, "pessimistic").tolist() == [1, 2]
    equal = np.array([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]])
    assert ranks(equal, right).tolist() == [0, 1]
    assert ranks(equal, right, "pessimistic").tolist() == [1, 2]  # another right answer is not in the way
    with pytest.raises(ValueError, match="each row needs a right answer"):
        ranks(scores, np.zeros((2, 3), dtype=bool))


def test_a_video_with_two_texts_is_found_by_each_and_finds_either() -> None:
    videos, texts = np.eye(2), np.array([[1, 0], [0.1, 1], [0, 1]], dtype=float)
    measured = retrieval(videos, texts, owners=[0, 0, 1])
    assert measured["t2v"]["r1"] == pytest.approx(200 / 3) and measured["v2t"]["r1"] == 50
    assert measured["v2t"]["mnr"] == 1.5 and measured["t2v"]["mdr"] == 1


def test_dual_softmax_lifts_a_video_that_is_not_everybodys_favourite() -> None:
    scores = np.array([[0.9, 0.8], [0.1, 0.7]])  # both texts like video 0; text 1's own is video 1
    assert ranks(scores.T).tolist() == [0, 1]
    expected = scores * (np.exp(scores) / np.exp(scores).sum(axis=0))
    np.testing.assert_allclose(dual_softmax(scores), expected, rtol=1e-12)


def test_class_scores_average_cosines_not_prompts() -> None:
    videos = np.array([[1.0, 0.0], [0.0, 1.0]])
    prompt_vectors = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [0.6, 0.8]]])
    np.testing.assert_allclose(class_scores(videos, prompt_vectors), [[0.5, 0.6], [0.5, 0.8]])
    assert top(class_scores(videos, prompt_vectors), [1, 0], 1) == 50.0
    assert top(class_scores(videos, prompt_vectors), [1, 0], 2) == 100.0


def test_each_class_has_sixteen_prompts() -> None:
    assert len(set(PROMPTS)) == 16
    assert prompts("juggling")[8] == "Playing a kind of action, juggling"


def test_shared_middle_frames(shared: dict[str, Any]) -> None:
    for total, expected in shared["frame_indices_middle_8"].items():
        assert middle_indices(int(total)).tolist() == expected, total


def test_shared_pre_text(shared: dict[str, Any]) -> None:
    for case in shared["pre_text"]:
        assert pre_text(case["input"]) == case["output"]


def test_shared_retrieval(shared: dict[str, Any]) -> None:
    case = shared["retrieval"]
    _, videos, texts = _shared_pairs(case)
    scores = videos @ texts.T
    np.testing.assert_allclose(scores[0], case["S_first_row"], atol=1e-6)
    tables = {
        "v2t": scores,
        "t2v": scores.T,
        "v2t_dual_softmax": dual_softmax(scores),
        "t2v_dual_softmax": dual_softmax(scores.T),
    }
    measured = retrieval(videos, texts)
    for name, table in tables.items():
        assert ranks(table).tolist() == case[name]["ranks"], name
        for key, value in recall(ranks(table)).items():
            assert value == pytest.approx(case[name][key], abs=0.005), (name, key)
            own = measured[name.removesuffix("_softmax")]
            assert own[key.replace("R@", "r")] == pytest.approx(value, abs=1e-9)


def test_shared_action_recognition(shared: dict[str, Any]) -> None:
    case = shared["action_recognition"]
    generator, videos, _ = _shared_pairs(shared["retrieval"])
    scores = class_scores(videos, _unit(generator.standard_normal((5, 16, 16))))
    labels = generator.randint(0, 5, len(videos))
    assert labels.tolist() == case["labels"]
    assert scores.argmax(axis=1).tolist() == case["top1_class"]
    assert top(scores, labels, 1) == pytest.approx(case["top1"], abs=0.005)
    assert top(scores, labels, 2) == pytest.approx(case["top2"], abs=0.005)
