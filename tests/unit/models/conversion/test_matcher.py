"""Keys of a MobileViCLIP checkpoint find their places by structure, or the file is refused with the keys at fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.conversion.fit import clip_bases
from vidsearch.models.conversion.matcher import Base, Match, carries_identity, match
from vidsearch.models.keys import Shape

CASES = Path(__file__).parents[4] / "../shared/parity/mobileclip/matcher_cases.json"
FILE = "given.pt"
Keys = dict[str, Shape]


@pytest.fixture(scope="module")
def bases() -> list[Base]:
    return clip_bases()


@pytest.fixture(scope="module")
def tiny(bases: list[Base]) -> Base:
    return next(base for base in bases if base.name == "mobileviclip-tiny")


def norm(parent: str, channels: int) -> Keys:
    return {f"{parent}.{name}": (channels,) for name in ("weight", "bias", "running_mean", "running_var")}


def temporal(base: Base, conv: str = "t.conv", kernel: int = 3) -> Keys:
    """A norm and a convolution in every RepMixer block, and one TPE: what a file may look like."""
    keys: Keys = {"vision_encoder.tpe": (1, 8, base.last_width)}
    for block in base.blocks:
        channels = base.width(block) or 0
        keys |= norm(f"{block}.t.norm", channels) | {f"{block}.{conv}.weight": (channels, 1, kernel)}
    return keys


def without(keys: Keys, *ends: str) -> Keys:
    return {key: shape for key, shape in keys.items() if not key.endswith(ends)}


def matched(base: Base, keys: Mapping[str, Shape], renames: Mapping[str, str] | None = None) -> Match:
    return match({**base.train, **keys}, [base], file=FILE, renames=renames)


def refusal(base: Base, keys: Mapping[str, Shape]) -> str:
    with pytest.raises(ModelError) as caught:
        matched(base, keys)
    message = str(caught.value)
    assert message.startswith(FILE)
    return message


# The shared cases


def shared_cases() -> list[Any]:
    if not CASES.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="shared test material is absent: matcher_cases.json"))]
    cases = json.loads(CASES.read_text(encoding="utf-8"))["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", shared_cases())
def test_shared_case(case: dict[str, Any], bases: list[Base]) -> None:
    size, form = case["base"].split("_")
    base = next(base for base in bases if base.name.endswith({"s0": "tiny", "s2": "small"}[size]))
    source = dict(base.train if form == "train" else base.inference)
    for key in case["remove"]:
        del source[key.replace("image_encoder.model.", "vision_encoder.")]
    source |= {key: tuple(shape) for key, (shape, _) in case["add"].items()}
    if case["expect"] == "ok":
        found = match(source, bases, file=FILE)
        assert found.temporal == case["mapping"]
        assert found.base == base.name
    else:
        with pytest.raises(ModelError) as caught:
            match(source, bases, file=FILE)
        assert any(part in str(caught.value) for part in case["error_mentions_any"])


# What is accepted


def test_names_do_not_matter_and_every_key_gets_a_place(tiny: Base) -> None:
    source = {**tiny.train, **temporal(tiny), "temp": ()}
    found = match(source, [tiny], file=FILE)
    assert set(found.keys) == set(source)
    assert found.keys["vision_encoder.network.0.1.t.conv.weight"] == "vision_encoder.network.0.1.temporal.conv.weight"
    assert found.keys["vision_encoder.tpe"] == "vision_encoder.network.6.temporal_embedding"
    assert (found.kernel, found.form, found.has_text, found.notes) == (3, "train", True, ())
    assert found.blocks_without_norm == ()


@pytest.mark.parametrize("shape", [(1, 5), (1, 5, 1), (1, 1, 5), (1, 5, 1, 1)])
def test_a_kernel_may_lie_along_any_axis(tiny: Base, shape: tuple[int, ...]) -> None:
    keys = {key: (s[0], *shape) if len(s) == 3 and "conv" in key else s for key, s in temporal(tiny).items()}
    found = matched(tiny, keys)
    assert found.shapes["vision_encoder.network.4.0.temporal.conv.weight"] == (256, 1, 5)


@pytest.mark.parametrize("shape", [(8, 512), (512, 8), (1, 512, 8, 1, 1), (1, 1, 8, 512)])
def test_a_position_encoding_may_have_its_axes_in_any_order(tiny: Base, shape: tuple[int, ...]) -> None:
    found = matched(tiny, {**temporal(tiny), "vision_encoder.tpe": shape})
    assert found.shapes["vision_encoder.network.6.temporal_embedding"] == (1, 8, 512)


def test_the_inference_form_is_taken_when_it_is_whole(tiny: Base) -> None:
    found = match({**tiny.inference, **temporal(tiny)}, [tiny], file=FILE)
    assert found.form == "inference"
    assert set(tiny.inference) - {"logit_scale", "temp"} <= set(found.keys.values())


def test_a_file_without_a_text_encoder_is_matched_and_says_so(tiny: Base) -> None:
    vision = {key: shape for key, shape in tiny.train.items() if key.startswith("vision_encoder.")}
    assert not match({**vision, **temporal(tiny)}, [tiny], file=FILE).has_text


def test_blocks_without_a_part_are_accepted_and_reported(tiny: Base) -> None:
    keys = {key: shape for key, shape in temporal(tiny).items() if ".network.0.0." not in key and "tpe" not in key}
    notes = " ".join(matched(tiny, keys).notes)
    assert "1 of 18 RepMixer blocks have no temporal convolution: vision_encoder.network.0.0" in notes
    assert "no temporal position encoding" in notes


def test_convolutions_without_norm_are_listed(tiny: Base) -> None:
    keys = {key: shape for key, shape in temporal(tiny).items() if ".norm." not in key}
    assert len(matched(tiny, keys).blocks_without_norm) == 18


def test_renames_override_the_structure(tiny: Base) -> None:
    keys = {**temporal(tiny), "vision_encoder.network.0.0.second.weight": (64, 1, 3)}
    assert "several candidates" in refusal(tiny, keys)
    first = "vision_encoder.network.0.0.t.conv.weight"
    del keys[first]
    renames = {"vision_encoder.network.0.0.second.weight": "vision_encoder.network.0.0.temporal.conv.weight"}
    found = matched(tiny, keys, renames)
    assert found.keys["vision_encoder.network.0.0.second.weight"] == "vision_encoder.network.0.0.temporal.conv.weight"


def test_a_rename_to_no_temporal_key_is_refused(tiny: Base) -> None:
    with pytest.raises(ModelError, match="the given new name nonsense is not a temporal key"):
        matched(tiny, temporal(tiny), {"vision_encoder.tpe": "nonsense"})


def test_renames_of_what_is_not_there_and_two_for_one_place_are_refused(tiny: Base) -> None:
    with pytest.raises(ModelError, match=r"given\.pt has no vision_encoder\.what, which the renames name; correct"):
        matched(tiny, temporal(tiny), {"vision_encoder.what": "vision_encoder.network.6.temporal_embedding"})
    place, other = "vision_encoder.patch_embed.0.rbr_conv.0.conv.weight", "vision_encoder.other"
    with pytest.raises(ModelError, match=f"several candidates for {place}: {other} .*, {place} "):
        matched(tiny, {**temporal(tiny), other: tiny.train[place]}, {other: place})


# What is refused


@pytest.mark.parametrize(
    ("key", "shape", "reason"),
    [
        ("vision_encoder.network.0.0.t.conv.weight", (64, 1, 4), "even kernel"),
        ("vision_encoder.network.0.0.t.conv.weight", (64, 64, 3), "not depthwise"),
        ("vision_encoder.network.0.0.t.conv.weight", (32, 1, 3), "channels differ: the block has 64"),
        ("vision_encoder.network.0.0.t.conv.weight", (64, 1, 3, 3), "a kernel along one axis was expected"),
        ("vision_encoder.network.0.0.t.conv.weight", (64, 1, 5), "kernels of different lengths"),
        ("vision_encoder.network.0.0.t.norm.bias", (32,), "channels differ: the block has 64"),
        ("vision_encoder.network.0.0.t.norm.extra", (64,), "no role"),
        ("vision_encoder.tpe", (1, 12, 512), "a position encoding of 12 frames would not fit, this network has 8"),
        ("vision_encoder.network.6.tpe", (1, 8, 512), "several candidates"),
        ("vision_encoder.network.0.tpe", (1, 8, 512), "outside stage 3"),
        ("vision_encoder.network.7.0.tpe", (1, 8, 512), "both before stage 3 and inside"),
        ("vision_encoder.network.7.0.conv.weight", (512, 1, 3), "outside the RepMixer blocks"),
        ("vision_encoder.network.0.9.conv.weight", (64, 1, 3), "outside the RepMixer blocks"),
        ("video_head.weight", (512, 512), "no role in this network"),
    ],
)
def test_a_key_without_a_role_is_named_with_its_shape(tiny: Base, key: str, shape: Shape, reason: str) -> None:
    message = refusal(tiny, {**temporal(tiny), key: shape})
    assert key in message
    assert str(shape) in message
    assert reason in message


def test_an_incomplete_norm_is_refused(tiny: Base) -> None:
    keys = without(temporal(tiny), "0.0.t.norm.running_var")
    assert "incomplete norm, without running_var" in refusal(tiny, keys)


def test_a_norm_without_its_convolution_is_refused(tiny: Base) -> None:
    keys = without(temporal(tiny), "0.0.t.conv.weight")
    assert "a norm without its convolution: vision_encoder.network.0.0.t.norm.weight" in refusal(tiny, keys)


def test_a_missing_base_key_is_refused(tiny: Base) -> None:
    key = "vision_encoder.network.4.3.convffn.fc1.weight"
    source = {**tiny.train, **temporal(tiny)}
    del source[key]
    with pytest.raises(ModelError, match=f"missing: {key}"):
        match(source, [tiny], file=FILE)


def test_another_network_is_refused_by_its_stem(bases: list[Base], tiny: Base) -> None:
    small = next(base for base in bases if base.name == "mobileviclip-small")
    with pytest.raises(ModelError, match=r"of another network: .* is \(80, 3, 3, 3\), expected \(64, 3, 3, 3\)"):
        match({**small.train, **temporal(small)}, [tiny], file=FILE)


def test_a_file_of_something_else_is_refused(bases: list[Base]) -> None:
    with pytest.raises(ModelError, match=r"is not a MobileViCLIP checkpoint.*its first keys are model\.weight"):
        match({"model.weight": (3, 3)}, bases, file=FILE)


def test_a_message_shows_few_keys_and_counts_the_rest(tiny: Base) -> None:
    extra = {f"vision_encoder.extra{i}.weight": (7, 7) for i in range(10)}
    message = refusal(tiny, {**temporal(tiny), **extra})
    assert "and 7 more" in message
    assert len(message) < 700


# Folded or plain


def test_the_centre_taps_tell_folded_from_plain() -> None:
    assert carries_identity({"a": [1.1, 0.9, 1.0], "b": [0.7, 1.2]}, file=FILE)
    assert not carries_identity({"a": [0.1, -0.2, 2.0], "b": [0.4, 0.0]}, file=FILE)


def test_blocks_that_disagree_are_refused() -> None:
    with pytest.raises(ModelError, match=rf"{FILE}: some temporal convolutions carry the identity .*\(b\)"):
        carries_identity({"a": [1.0], "b": [0.0], "c": [1.0]}, file=FILE)
