"""Frames to the language model's input, its first logits and a greedy answer: the whole network against the vectors."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from recipe import shared_json
from recipe_videogpt import assert_sampled, check_weights, fill_videogpt, vector, weight
from torch import Tensor

from vidsearch.models.clip_vit.config import ClipImageConfig
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.load import build
from vidsearch.models.mobilevideogpt.config import MobileVideoGPTConfig
from vidsearch.models.mobilevideogpt.frame_selection import regroup, score_frames
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT
from vidsearch.models.qwen2.config import LanguageModelConfig
from vidsearch.models.videomamba.config import VideoMambaConfig

SEEDED_PARTS = {
    "video encoder": "model.vision_tower.",
    "video projector": "model.mm_projector.",
    "image projector": "model.image_mm_projector.",
}


class Case(NamedTuple):
    """A vector file, its network, and what the network makes of the file's frames."""

    expected: dict[str, Any]
    network: MobileVideoGPT
    features: Tensor
    video: Tensor
    sequence: Tensor


@pytest.fixture(
    scope="module",
    params=[
        "fused_shallow",
        pytest.param(
            "fused_full",
            marks=pytest.mark.skipif(
                os.environ.get("VIDSEARCH_FULL_PARITY") != "1",
                reason="full-size towers take about a minute; set VIDSEARCH_FULL_PARITY=1 to run them",
            ),
        ),
    ],
)
def case(request: pytest.FixtureRequest) -> Case:
    expected = vector(request.param)
    network = filled_network(expected)
    images, frames = (pictures(expected["inputs"][f"{which}_encoder_frames"]) for which in ("image", "video"))
    with torch.no_grad():
        features = network.image_features(images)
        tokens = network.video_tokens(frames[network.keyframes(features)].unsqueeze(0))
        video = regroup(tokens[0], network.config.keep)
        visual = network.visual_tokens(features.unsqueeze(0), tokens)
        sequence = network.embed_prompt(torch.tensor(expected["inputs"]["input_ids"]), visual)
    return Case(expected, network, features, video, sequence)


def filled_network(expected: dict[str, Any]) -> MobileVideoGPT:
    """The network of the file's config, with the recipe's weights: each part's keys are relative to the part."""
    sizes, seeds = expected["config"], expected["weights"]["recipe_seeds"]
    config = MobileVideoGPTConfig(
        ClipImageConfig(num_hidden_layers=sizes["clip"]["layers"]),
        VideoMambaConfig(depth=sizes["videomamba"]["depth"]),
        LanguageModelConfig(**sizes["language_model"]),
    )
    with init_empty_weights():
        network = MobileVideoGPT(config).eval()
    fill_videogpt(network.image_tower, seeds["image tower"])
    state = {}
    for key, tensor in network.state_dict().items():
        part = next((part for part, root in SEEDED_PARTS.items() if key.startswith(root)), "language model")
        relative = key.removeprefix(SEEDED_PARTS.get(part, ""))
        state[key] = torch.from_numpy(weight(relative, tuple(tensor.shape), seeds[part]))
    network.load_state_dict(state, strict=True)
    check_weights(network, expected["weights"]["check"])
    return network


def pictures(given: dict[str, Any]) -> Tensor:
    """(16, 3, 224, 224): one picture under more or less noise, by the file's rule."""
    picture = np.random.RandomState(given["seed"]).standard_normal((1, 3, 224, 224))
    noise = np.random.RandomState(given["seed"] + 1).standard_normal((16, 3, 224, 224))
    return torch.from_numpy((picture + np.array(given["sigma"])[:, None, None, None] * noise).astype(np.float32))


def test_scores_and_selected_frames(case: Case) -> None:
    scores = torch.stack([score_frames(chunk) for chunk in torch.split(case.features, 8)])
    wanted = torch.tensor(case.expected["frame_scores_per_chunk"], dtype=torch.float64)
    torch.testing.assert_close(scores.double(), wanted, atol=0.002, rtol=1e-5)  # as frame_scoring.json
    chosen = [8 * n + f for n, part in enumerate(case.expected["selected_frames_in_chunk"]) for f in part]
    assert case.network.keyframes(case.features).tolist() == chosen


def test_features_and_every_stretch_of_the_sequence(case: Case) -> None:
    prefix, suffix = 14, case.expected["sequence_length"] - 14 - 2402
    stretches = torch.split(case.sequence, [prefix, 1152, 1152, 49, 49, suffix], dim=1)
    outputs = case.expected["outputs"]
    for output, actual in zip(outputs, (case.features, case.video, *stretches, case.sequence), strict=True):
        assert_sampled(actual, output, case.expected["tolerance"])


def test_logits_and_greedy_answer(case: Case) -> None:
    if "greedy_continuation" not in case.expected:
        pytest.skip("this vector ends at the language model's input")
    with torch.no_grad():
        logits = case.network(inputs_embeds=case.sequence, last_only=True)
    assert_sampled(logits[0, 0], case.expected["last_position_logits"], case.expected["tolerance"])
    wanted = case.expected["greedy_continuation"]
    assert list(case.network.generate(inputs_embeds=case.sequence, max_new_tokens=len(wanted))) == wanted


@pytest.mark.parametrize("size", ["0.5b", "1.5b"])
def test_keys_and_shapes_are_the_published_ones(size: str) -> None:
    published = shared_json("spec/mobile_videogpt_keys.json")
    network = build(f"mobilevideogpt-{size}")
    assert shapes(network) == published[f"expected_checkpoint_{size}"]
    assert shapes(network.image_tower) == published["clip_image_tower_vit_b16"]
    assert shapes(network.model.vision_tower) == published["videomamba_m"]
    assert shapes(network.model.mm_projector) == published[f"video_projector_{size}"]
    assert shapes(network.model.image_mm_projector) == published[f"image_projector_{size}"]


def shapes(network: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
