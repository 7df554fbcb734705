"""The networks of Mobile-VideoGPT, part by part, against the shared vectors: recipe weights, sampled outputs.

The vectors of full-size towers take a minute of one core and run on demand: VIDSEARCH_FULL_PARITY=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from recipe_videogpt import assert_sampled, check_weights, fill_videogpt, normal, vector
from torch import Tensor, nn

from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.mobilevideogpt.parts import (
    ClipImageTower,
    LanguageModel,
    MambaMixer,
    TokenProjector,
    VideoMamba,
    regroup,
    score_frames,
    select_frames,
)
from vidsearch.models.videomamba.mamba_mixer import selective_scan

full_size = pytest.mark.skipif(
    os.environ.get("VIDSEARCH_FULL_PARITY") != "1",
    reason="full-size towers take about a minute; set VIDSEARCH_FULL_PARITY=1 to run them",
)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def filled(network: nn.Module, weights: dict[str, Any]) -> Any:
    fill_videogpt(network, weights["recipe_seed"])
    check_weights(network, weights.get("check", {}))
    return network.eval()


def inputs(expected: dict[str, Any]) -> list[Tensor]:
    return [normal(given["seed"], given["shape"]) for given in expected["inputs"]]


def compare(expected: dict[str, Any], actual: dict[str, Tensor]) -> None:
    """Every output of the vector file, none left out."""
    assert list(actual) == [output["name"] for output in expected["outputs"]]
    for output in expected["outputs"]:
        assert_sampled(actual[output["name"]], output, expected["tolerance"])


@pytest.mark.parametrize("name", ["clip_tiny", pytest.param("clip_vit_b16", marks=full_size)])
def test_image_tower(name: str) -> None:
    expected = vector(name)
    tower = filled(ClipImageTower(**expected["config"]), expected["weights"])
    (pixels,) = inputs(expected)
    compare(
        expected,
        {
            "hidden_state_0_after_pre_layernorm_with_cls": tower.hidden_state(pixels, 0),
            "hidden_state_1_with_cls": tower.hidden_state(pixels, 1),
            "patch_features_penultimate_without_cls": tower(pixels),
        },
    )


def test_selective_scan() -> None:
    expected = vector("selective_scan")
    given = expected["inputs"]
    b, d, n, length = (given[letter] for letter in "bdnl")
    rng = np.random.RandomState(given["seed"])

    def draw(*shape: int, change: Callable[[Any], Any] = lambda x: x) -> Tensor:
        return torch.from_numpy(change(rng.standard_normal(shape)).astype(np.float32))

    u, delta = draw(b, d, length), draw(b, d, length)
    decay = draw(d, n, change=lambda a: -np.exp(a))
    write, read, skip, z = draw(b, n, length), draw(b, n, length), draw(d), draw(b, d, length)
    bias = draw(d, change=lambda x: x - 2.0)

    step = torch.nn.functional.softplus(delta + bias[:, None])
    time_first = [x.permute(2, 0, 1).contiguous() for x in (u, step, write, read)]
    y = selective_scan(time_first[0], time_first[1], decay.T.expand(b, n, d).contiguous(), *time_first[2:])
    y = y.permute(1, 2, 0) + skip[:, None] * u
    compare(expected, {"y_plus_Du": y, "gated_by_silu_z": y * torch.nn.functional.silu(z)})


@pytest.mark.parametrize("name", ["mamba_mixer", "mamba_mixer_d576"])
def test_mamba_mixer(name: str) -> None:
    expected = vector(name)
    mixer = filled(MambaMixer(**expected["config"]), expected["weights"])
    compare(expected, {"mixer_output": mixer(*inputs(expected))})


def test_video_mamba_tiny() -> None:
    expected = vector("videomamba_tiny")
    network = filled(VideoMamba(**expected["config"]), expected["weights"])
    clip, picture = inputs(expected)
    embedded = network.vision_encoder.embed(clip)
    block = network.vision_encoder.layers[0]
    compare(
        expected,
        {
            "video_embedded_sequence_before_blocks": embedded,
            "video_block0_mixer_output": block(embedded) - embedded,
            "video_cls_token": network.encode(clip)[:, :1],
            "video_patch_tokens": network(clip),
            "single_image_cls_token": network.encode(picture)[:, :1],
            "single_image_patch_tokens": network(picture),
        },
    )


@full_size
def test_video_mamba_m() -> None:
    expected = vector("videomamba_m_f8_224")
    with init_empty_weights():
        network = VideoMamba(**expected["config"])
    filled(network, expected["weights"])
    encoded, picture = (network.encode(x) for x in inputs(expected))
    compare(
        expected,
        {
            "video_cls_token": encoded[:, :1],
            "video_patch_tokens": encoded[:, 1:],
            "single_image_cls_token": picture[:, :1],
            "single_image_patch_tokens": picture[:, 1:],
        },
    )


def test_token_projectors() -> None:
    cases = vector("et_proj_0.5b")["cases"]
    assert [case["component"] for case in cases] == ["video_projector", "image_projector"]
    for expected in cases:
        config = expected["config"]
        projector = filled(TokenProjector(config["in"], config["out"]), expected["weights"])
        compare(expected, {"tokens_out": projector(*inputs(expected))})


def test_pooling_and_regrouping() -> None:
    expected = vector("video_pool_regroup")
    (tokens,) = inputs(expected)
    grid = tokens[:2].unflatten(1, (14, 14)).permute(0, 3, 1, 2)
    compare(
        expected,
        {
            "pooled_7x7_per_frame": regroup(tokens, keep=1),
            "regrouped_per_chunk_of_4_frames": regroup(tokens),
            "first_two_frames_pooled_12x12": torch.nn.functional.adaptive_avg_pool2d(grid, 12).flatten(2).mT,
        },
    )


def test_frame_scores_and_selection() -> None:
    expected = vector("frame_scoring")
    for case in expected["cases"]:
        for chunk, scores, selection in zip(features(case["input"]), case["scores"], case["selection"], strict=True):
            torch.testing.assert_close(
                score_frames(chunk).double(), torch.tensor(scores, dtype=torch.float64), **expected["score_tolerance"]
            )
            chosen = select_frames(chunk, keep=case["K"], largest=case["largest"])
            assert chosen.tolist() == selection["expected_sorted_indices"], case["name"]


def features(given: dict[str, Any]) -> Tensor:
    """The input of a scoring case, by the file's `input_rule`."""
    b, t, tokens, d = (given[letter] for letter in "BTLD")
    u = np.random.RandomState(given["seed"]).standard_normal((b, 1, 1, d))
    n = np.random.RandomState(given["seed"] + 1).standard_normal((b, t, tokens, d))
    x = np.array(given["amplitudes"])[:, None, None] * u + given["noise"] * n
    for source, target in given["copies_src_dst"]:
        x[:, target] = x[:, source]
    return torch.from_numpy(x.astype(np.float32))


@pytest.mark.parametrize("name", ["qwen2_test", "qwen2_test_untied"])
def test_language_model(name: str) -> None:
    expected = vector(name)
    network = filled(LanguageModel(**expected["config"]), expected["weights"])
    ids = torch.tensor([expected["input_ids"]])
    logits = network(ids)
    compare(expected, {"logits": logits})
    assert logits.argmax(-1)[0].tolist() == expected["argmax_per_position"]
    wanted = expected["greedy_continuation"]
    assert list(network.generate(ids, max_new_tokens=len(wanted))) == wanted
