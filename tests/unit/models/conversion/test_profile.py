"""The profile of a clip tower: every part of the network is in it, in both runtimes, and the parts sum to the whole."""

from __future__ import annotations

import pytest
from seeded import seeded, small_config

from vidsearch.models.conversion.mobile import profile
from vidsearch.models.conversion.mobile.profile import Profile, part_of, profile_network, sweep_depth

PARTS = {
    *("stem", "position encoding", "stage 4 attention", "expansion", "head", "downsampling 1", "downsampling 3"),
    *("stage 1 temporal mixing", "stage 3 spatial mixing", "stage 2 ConvFFN", "stage 4 ConvFFN"),
}


@pytest.fixture(scope="module", params=["onnx", "torch"])
def found(request: pytest.FixtureRequest) -> Profile:
    return profile_network(seeded(small_config("mobileviclip-tiny")).reparameterize(), request.param, runs=2)


def test_every_part_and_operator_has_its_time(found: Profile) -> None:
    assert set(found.by_module()) >= PARTS
    assert set(found.by_module()) - PARTS <= {
        *("input and layout", "downsampling 2", "stage 1 spatial mixing", "stage 1 ConvFFN", "stage 3 ConvFFN"),
        *("stage 2 temporal mixing", "stage 2 spatial mixing", "stage 3 temporal mixing"),
    }
    assert sum(found.by_module().values()) == pytest.approx(found.sum_ms)
    assert sum(found.by_operator().values()) == pytest.approx(found.sum_ms)
    assert all(each.ms >= 0 for each in found.operators) and found.sum_ms > 0
    assert any(name.lower().startswith(("conv", "fusedconv")) for name in found.by_operator())


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("patch_embed/0/conv", "stem"),
        ("network/0/1/temporal", "stage 1 temporal mixing"),
        ("network/3/proj/0/gates/reduce", "downsampling 2"),
        ("network/7/0/token_mixer/attention/q", "stage 4 attention"),
        ("network/7/1/convffn/fc1", "stage 4 ConvFFN"),
        ("network/6/reparam_conv", "position encoding"),
        ("", "input and layout"),
    ],
)
def test_paths_are_parts(path: str, part: str) -> None:
    assert part_of(path) == part


def test_deeper_networks_are_built_for_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "DEPTHS", (1, 3))
    rows = sweep_depth(small_config("mobileviclip-tiny"), "onnx", runs=1)
    assert [blocks for blocks, _, _ in rows] == [1, 3]
    assert all(convolution > 0 and attention > 0 for _, convolution, attention in rows)
