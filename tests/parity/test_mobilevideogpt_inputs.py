"""Sampling, pixels and prompt of Mobile-VideoGPT against the shared vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from recipe_videogpt import assert_sampled, vector

from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN
from vidsearch.models.mobilevideogpt.parts import preprocess_image, preprocess_video, sample_frames
from vidsearch.models.mobilevideogpt.prompt import BEFORE_FRAMES, BEFORE_FRAMES_IDS, text_after_frames


def test_sampled_frames_are_the_references() -> None:
    cases = [case for case in vector("frame_sampling")["cases"] if "error" not in case]
    assert len(cases) > 20
    for case in cases:
        assert sample_frames(case["n"], case["fps"]) == case["positions"], case


def picture(rule: dict[str, Any]) -> NDArray[np.uint8]:
    """A picture of the vector file's `picture_rule`."""
    height, width, seed = rule["height"], rule["width"], rule["seed"]
    if rule["kind"] == "noise":
        frame = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    else:
        y, x = np.mgrid[:height, :width].astype(np.float64)
        wave = 127.5 + 127.5 * np.sin((x + 2 * y) / 17 + seed)
        planes = (x * 255 / (width - 1), y * 255 / (height - 1), wave)
        frame = np.rint(np.stack(planes, axis=-1)).astype(np.uint8)
    assert int(frame.sum()) == rule["check"]["sum"]
    assert frame[0, 0].tolist() == rule["check"]["first_pixel"]
    assert frame[-1, -1].tolist() == rule["check"]["last_pixel"]
    return frame


def test_pixels_are_those_of_pillow_and_opencv() -> None:
    """The file allows one grey level; equal to the bit is what its notes call exact: 1e-5 and 1e-6."""
    cases = vector("preprocess")["cases"]
    assert len(cases) == 5
    for case in cases:
        frame = picture(case["picture"])
        assert_sampled(preprocess_image([frame])[0], case["image_encoder_input"], {"atol": 1e-5})
        assert_sampled(preprocess_video([frame])[0], case["video_encoder_input"], {"atol": 1e-6})


def test_prompt_is_the_references() -> None:
    """The pieces around the frames; the tokenizer turns the second one into ids, in one piece."""
    expected = vector("prompt")
    placeholders = "<image>" * expected["n_image_tokens"]
    after = text_after_frames(expected["question"])
    assert BEFORE_FRAMES + placeholders + after == expected["prompt"]
    assert expected["text_before_the_placeholders"] == BEFORE_FRAMES
    assert expected["text_after_the_placeholders"] == after
    assert expected["ids_before"] == list(BEFORE_FRAMES_IDS)
    assert expected["placeholder_id"] == IMAGE_TOKEN


@pytest.mark.parametrize(("frames", "fps", "expected"), [(1, 30.0, [0]), (60, 0.5, None)])
def test_where_the_reference_fails_there_is_an_answer(frames: int, fps: float, expected: list[int] | None) -> None:
    refused = [case for case in vector("frame_sampling")["cases"] if "error" in case]
    assert (frames, fps) in [(case["n"], case["fps"]) for case in refused]
    assert sample_frames(frames, fps) == (expected or sample_frames(frames, 1.0))
