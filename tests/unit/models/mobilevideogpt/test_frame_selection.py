"""Frame scores against their definition, ties, and the way of the chosen frames' tokens back to their chunks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsearch.models.mobilevideogpt.parts import regroup, score_frames, select_frames


def defined_scores(features: Tensor) -> Tensor:
    """The reference's arithmetic: softmax attention of all tokens, times a one-hot matrix of their frames, summed."""
    frames, tokens, width = features.shape
    x = features.flatten(0, 1)
    attention = torch.softmax(x @ x.T / width**0.5, dim=-1)
    frame_of = torch.eye(frames, dtype=features.dtype).repeat_interleave(tokens, 0)
    return (attention @ frame_of).sum(0)


def chunk(frames: int = 8, tokens: int = 9, width: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    strength = torch.rand(frames, 1, 1, generator=generator, dtype=torch.float64)
    common = torch.randn(width, generator=generator, dtype=torch.float64)
    return strength * common + 0.3 * torch.randn(frames, tokens, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("copies", [{}, {3: 1}, {7: 0, 6: 0, 2: 1}, dict.fromkeys(range(1, 8), 0)])
def test_scores_are_the_definitions_also_with_copied_frames(copies: dict[int, int]) -> None:
    features = chunk()
    for target, source in copies.items():
        features[target] = features[source]
    scores = score_frames(features)
    torch.testing.assert_close(scores, defined_scores(features))
    assert float(scores.sum()) == pytest.approx(8 * 9)
    for target, source in copies.items():
        assert scores[target] == scores[source]  # to the bit: a tie is a tie


def test_the_best_frames_come_in_time_order() -> None:
    features = chunk(seed=5)
    best = torch.topk(defined_scores(features), 3).indices
    assert best.tolist() != sorted(best.tolist())
    assert select_frames(features, keep=3).tolist() == sorted(best.tolist())
    rest = select_frames(features, keep=5, largest=False)
    assert sorted({*best.tolist(), *rest.tolist()}) == list(range(8))


@pytest.mark.parametrize("seed", range(6))
def test_a_still_clip_gives_its_first_frames_in_any_precision(seed: int) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        still = chunk(1, 49, 64, seed).to(dtype).expand(8, -1, -1)
        assert select_frames(still).tolist() == [0, 1, 2, 3]


def test_of_equal_frames_at_the_boundary_the_earlier_is_taken() -> None:
    features = chunk(6, seed=2)
    order = defined_scores(features).argsort(descending=True).tolist()
    third = order[2]
    features = torch.cat((features, features[third][None], features[third][None]))
    place = score_frames(features).argsort(descending=True, stable=True).tolist().index(third) + 1
    assert third in select_frames(features, keep=place).tolist()
    assert {6, 7}.isdisjoint(select_frames(features, keep=place).tolist())


def test_regrouping_averages_two_by_two_and_keeps_frame_row_column_order() -> None:
    tokens = torch.randn(8, 196, 5)
    made = regroup(tokens)
    assert made.shape == (2, 196, 5)
    for frame, row, column in ((0, 0, 0), (3, 6, 2), (4, 1, 5), (7, 6, 6)):
        corner = [28 * row + 2 * column + step for step in (0, 1, 14, 15)]
        number = 49 * (frame % 4) + 7 * row + column
        torch.testing.assert_close(made[frame // 4, number], tokens[frame, corner].mean(0))
