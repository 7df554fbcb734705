"""Recall, middle frames and dual softmax: small cases done by hand, and the shared vectors where they are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsearch.evaluation.retrieval import dual_softmax, middle_indices, ranks, recall, retrieval
from vidsearch.evaluation.zero_shot import PROMPTS, class_scores, prompts, top
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
        for key, value in measured[name].items():
            assert value == pytest.approx(case[name][key], abs=0.005), (name, key)


def test_shared_action_recognition(shared: dict[str, Any]) -> None:
    case = shared["action_recognition"]
    generator, videos, _ = _shared_pairs(shared["retrieval"])
    scores = class_scores(videos, _unit(generator.standard_normal((5, 16, 16))))
    labels = generator.randint(0, 5, len(videos))
    assert labels.tolist() == case["labels"]
    assert scores.argmax(axis=1).tolist() == case["top1_class"]
    assert top(scores, labels, 1) == pytest.approx(case["top1"], abs=0.005)
    assert top(scores, labels, 2) == pytest.approx(case["top2"], abs=0.005)
