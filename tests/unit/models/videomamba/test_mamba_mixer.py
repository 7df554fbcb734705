"""The selective scan against a plain loop, and what two directions of time must satisfy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsearch.models.videomamba import mamba_mixer
from vidsearch.models.videomamba.mamba_mixer import MambaMixer, selective_scan


def plain_scan(values: Tensor, delta: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """The definition, one number at a time in each channel: h = exp(Δ A) h + Δ v B, y = Σ_n C_n h_n."""
    length, rows, channels = values.shape
    y = torch.zeros_like(values)
    for row in range(rows):
        for channel in range(channels):
            state = values.new_zeros(decay.shape[1])
            for t in range(length):
                step = delta[t, row, channel]
                state = torch.exp(step * decay[row, :, channel]) * state
                state = state + step * values[t, row, channel] * write[t, row]
                y[t, row, channel] = (read[t, row] * state).sum()
    return y


def scan_inputs(length: int, rows: int, channels: int, states: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [
        draw(length, rows, channels),
        torch.nn.functional.softplus(draw(length, rows, channels) - 1),
        -torch.exp(draw(rows, states, channels)),
        draw(length, rows, states),
        draw(length, rows, states),
    ]


@pytest.mark.parametrize(
    ("length", "rows", "channels", "states"), [(1, 1, 1, 1), (16, 2, 3, 4), (17, 1, 5, 2), (37, 3, 2, 3)]
)
def test_scan_equals_the_plain_loop(length: int, rows: int, channels: int, states: int) -> None:
    inputs = scan_inputs(length, rows, channels, states)
    torch.testing.assert_close(selective_scan(*inputs), plain_scan(*inputs), rtol=1e-12, atol=1e-12)


def test_scan_neither_needs_nor_changes_what_it_is_given() -> None:
    inputs = scan_inputs(20, 1, 4, 3)
    before = [x.clone() for x in inputs]
    selective_scan(*inputs)
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


def test_large_steps_forget_and_do_not_overflow() -> None:
    values, _, decay, write, read = scan_inputs(50, 1, 4, 3)
    delta = torch.full_like(values, 1e4)
    expected = delta * values * (write * read).sum(-1, keepdim=True)  # nothing is left of the step before
    torch.testing.assert_close(selective_scan(values, delta, decay, write, read), expected)


def test_gradients_are_those_of_the_plain_loop() -> None:
    inputs = [x.requires_grad_() for x in scan_inputs(19, 2, 2, 2)]
    weights = torch.randn(19, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fast = torch.autograd.grad((selective_scan(*inputs) * weights).sum(), inputs)
    slow = torch.autograd.grad((plain_scan(*inputs) * weights).sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other)


def mixer() -> MambaMixer:
    torch.manual_seed(0)
    return MambaMixer(d_model=12, d_inner=24, dt_rank=2, d_state=4, d_conv=4).double().eval()


def test_with_and_without_gradients_give_the_same() -> None:
    network = mixer()
    x = torch.randn(2, 21, 12, dtype=torch.float64)
    with torch.no_grad():
        served = network(x)
    torch.testing.assert_close(network(x), served)


def test_swapped_directions_read_the_sequence_backwards() -> None:
    """Parameters of the two directions exchanged, time reversed: the output is reversed and nothing else."""
    network, x = mixer(), torch.randn(2, 21, 12, dtype=torch.float64)
    swapped = MambaMixer(d_model=12, d_inner=24, dt_rank=2, d_state=4, d_conv=4).double().eval()
    other = {"A_log": "A_b_log", "D": "D_b", "conv1d": "conv1d_b", "x_proj": "x_proj_b", "dt_proj": "dt_proj_b"}
    other |= {backward: forward for forward, backward in other.items()}
    state = {}
    for key, tensor in network.state_dict().items():
        name, dot, rest = key.partition(".")
        state[other.get(name, name) + dot + rest] = tensor
    swapped.load_state_dict(state, strict=True)
    torch.testing.assert_close(swapped(x.flip(1)).flip(1), network(x))


def test_directions_are_summed() -> None:
    """With the backward direction silenced the output is causal; with both it is not."""
    network, x = mixer(), torch.randn(1, 21, 12, dtype=torch.float64)
    changed = x.clone()
    changed[:, -1] += 1
    assert not torch.allclose(network(x)[:, 0], network(changed)[:, 0])
    with torch.no_grad():
        network.conv1d_b.weight.zero_()
        network.conv1d_b.bias.zero_()
    torch.testing.assert_close(network(x)[:, :-1], network(changed)[:, :-1])


def test_sequences_of_a_batch_do_not_meet() -> None:
    network, x = mixer(), torch.randn(3, 21, 12, dtype=torch.float64)
    torch.testing.assert_close(torch.cat([network(one[None]) for one in x]), network(x))


def test_the_length_of_a_block_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = mixer(), torch.randn(1, 21, 12, dtype=torch.float64)
    expected = network(x)
    for steps in (1, 5, 64):
        monkeypatch.setattr(mamba_mixer, "_BLOCK", steps)
        torch.testing.assert_close(network(x), expected)


def test_bfloat16_weights_scan_in_float32() -> None:
    network, x = mixer().float(), torch.randn(1, 21, 12)
    rounded = network(x)
    narrow = network.bfloat16()(x.bfloat16())
    assert narrow.dtype == torch.bfloat16
    assert (narrow.float() - rounded).abs().max() < 0.05 * rounded.abs().max()
