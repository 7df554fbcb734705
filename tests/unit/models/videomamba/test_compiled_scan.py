"""The compiled loops against torch's: the same numbers, gradients too, at all edges of tiles and blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsearch.models.videomamba import compiled_scan
from vidsearch.models.videomamba.compiled_scan import is_worthwhile, scan
from vidsearch.models.videomamba.mamba_mixer import MambaMixer, selective_scan

pytest.importorskip("numba", reason="numba (extra `fast`) is not installed")


def scan_inputs(rows: int, length: int, channels: int, states: int) -> list[Tensor]:
    torch.manual_seed(length)
    return [
        torch.randn(rows, length, channels),
        torch.nn.functional.softplus(torch.randn(rows, length, channels) - 1),
        -torch.exp(torch.randn(states, channels)),
        torch.randn(rows, length, states),
        torch.randn(rows, length, states),
    ]


def in_torch(values: Tensor, delta: Tensor, decay: Tensor, write: Tensor, read: Tensor, *, reverse: bool) -> Tensor:
    steps = [x.flip(1) if reverse else x for x in (values, delta, write, read)]
    values, delta, write, read = (x.transpose(0, 1).contiguous() for x in steps)
    y = selective_scan(values, delta, decay.expand(values.shape[1], -1, -1).contiguous(), write, read).transpose(0, 1)
    return y.flip(1) if reverse else y


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("rows", "length", "channels", "states"), [(1, 1, 1, 1), (2, 16, 64, 4), (3, 37, 100, 8), (1, 17, 130, 5)]
)
def test_scan_and_its_gradients_are_those_of_torch(
    rows: int, length: int, channels: int, states: int, reverse: bool
) -> None:
    inputs = [x.requires_grad_() for x in scan_inputs(rows, length, channels, states)]
    compiled, plain = scan(*inputs, reverse=reverse), in_torch(*inputs, reverse=reverse)
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)
    weights = torch.randn_like(plain)
    own, expected = (torch.autograd.grad((y * weights).sum(), inputs) for y in (compiled, plain))
    for one, other in zip(own, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    with torch.no_grad():
        assert torch.equal(scan(*inputs, reverse=reverse), compiled)


def test_threads_change_nothing() -> None:
    inputs, threads = scan_inputs(3, 20, 200, 4), torch.get_num_threads()
    alone = scan(*inputs, reverse=False)
    torch.set_num_threads(5)
    try:
        assert torch.equal(scan(*inputs, reverse=False), alone)
    finally:
        torch.set_num_threads(threads)


def test_large_steps_forget_and_not_a_number_stays_one() -> None:
    values, delta, decay, write, read = scan_inputs(1, 40, 70, 3)
    large = torch.full_like(delta, 1e4)
    expected = large * values * (write * read).sum(-1, keepdim=True)  # nothing is left of the step before
    torch.testing.assert_close(scan(values, large, decay, write, read, reverse=False), expected, rtol=1e-5, atol=0.1)
    values[0, 20, 5] = float("nan")
    y = scan(values, delta, decay, write, read, reverse=False)
    assert y[0, 20:, 5].isnan().all() and not y[0, :20].isnan().any() and not y[0, :, 6:].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("learning", [False, True])
def test_a_mixer_gives_the_same_both_ways(dtype: torch.dtype, learning: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = MambaMixer(d_model=12, d_inner=72, dt_rank=2, d_state=4, d_conv=4).to(dtype)
    x = torch.randn(2, 35, 12).to(dtype)
    outputs = []
    for worthwhile in (10**12, 0):
        monkeypatch.setattr(compiled_scan, "_WORTHWHILE", worthwhile)
        with torch.set_grad_enabled(learning):
            outputs.append(network(x))
    close = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 0.02, "atol": 1e-3}
    torch.testing.assert_close(outputs[1], outputs[0], **close)


def test_small_wide_and_lonely_work_stays_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    large = torch.zeros(1, 2000, 1000)
    assert is_worthwhile(large, 16) and is_worthwhile(large.bfloat16(), 16)
    assert not is_worthwhile(large, 1) and not is_worthwhile(large.double(), 16)
    monkeypatch.setattr(compiled_scan, "is_installed", lambda: False)
    assert not is_worthwhile(large, 16)
