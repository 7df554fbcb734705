"""The scan in chunks against the loop over all steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidsearch.models.videomamba import chunked_scan
from vidsearch.models.videomamba.mamba_mixer import MambaMixer, selective_scan


def inputs(length: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """u, Δ, A, B, C of 2 rows, 5 channels and 3 states; some steps forget everything, some nearly nothing."""
    generator = torch.Generator().manual_seed(length)
    u, step = (torch.randn(length, 2, 5, generator=generator, dtype=dtype) for _ in range(2))
    B, C = (torch.randn(length, 2, 3, generator=generator, dtype=dtype) for _ in range(2))
    A = -torch.exp(2 * torch.randn(2, 3, 5, generator=generator, dtype=dtype))
    return u, torch.nn.functional.softplus(4 * step - 2), A, B, C


@pytest.mark.parametrize("length", [1, 2, 16, 97, 400])
@pytest.mark.parametrize("steps", [None, 1, 7, 16, 500])
@torch.no_grad()
def test_it_equals_the_loop(length: int, steps: int | None) -> None:
    given = inputs(length)
    expected = selective_scan(*given)
    torch.testing.assert_close(chunked_scan.chunked_scan(*given, steps=steps), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_in_double_precision_only_the_order_of_sums_differs() -> None:
    given = inputs(130, torch.float64)
    expected = selective_scan(*given)
    torch.testing.assert_close(chunked_scan.chunked_scan(*given), expected, atol=1e-13, rtol=1e-12)


def test_a_mixer_takes_it_where_it_is_faster_and_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    mixer = MambaMixer(d_model=8, d_inner=16, dt_rank=2, d_state=4)
    x = torch.randn(2, 50, 8)
    used: list[int] = []
    scan = chunked_scan.chunked_scan

    def counted(u: Tensor, *rest: Tensor) -> Tensor:
        used.append(len(u))
        return scan(u, *rest)

    with torch.no_grad():
        expected = mixer(x)
    monkeypatch.setattr(chunked_scan, "is_worthwhile", lambda device: device == x.device)
    monkeypatch.setattr(chunked_scan, "chunked_scan", counted)
    with torch.no_grad():
        torch.testing.assert_close(mixer(x), expected, atol=1e-5, rtol=1e-5)
    assert used == [50]
    mixer(x).sum().backward()
    assert used == [50]  # the loop has the gradient
    assert mixer.A_log.grad is not None and bool(mixer.A_log.grad.isfinite().all())


def test_a_cpu_keeps_the_loop_and_an_accelerator_gets_the_chunks() -> None:
    assert not chunked_scan.is_worthwhile(torch.device("cpu"))
    assert chunked_scan.is_worthwhile(torch.device("cuda")) and chunked_scan.is_worthwhile(torch.device("mps"))
