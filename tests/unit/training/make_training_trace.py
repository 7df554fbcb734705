"""Make training_trace.json: the loss of each step of short runs of every stage of both networks.

    PYTHONPATH=. python tests/unit/training/make_training_trace.py

A change that keeps the order of operations keeps every number; make the file anew only if a change is meant to alter
what training computes, and say so in the commit.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from vidsearch.training.ablation import Job, train
from vidsearch.training.commands import main

TRACE_FILE = Path(__file__).with_name("training_trace.json")
RUN = ("run", "--steps", "3", "--batch", "4", "--word-steps", "2", "--every", "1", "--threads", "1")
ASK = ("ask", "--steps", "2", "--batch", "2", "--every", "1", "--threads", "1", "--no-bfloat16")


def losses(words: tuple[str, ...], out: Path) -> list[float]:
    """Run one command of training; every loss that was differentiated, in float32, in order."""
    with _watched_losses() as seen:
        main([*words, "--device", "cpu", "--out", str(out)])
    return seen


@contextmanager
def _watched_losses() -> Iterator[list[float]]:
    seen: list[float] = []
    plain = torch.Tensor.backward

    def backward(loss: torch.Tensor, *arguments: Any, **options: Any) -> None:
        seen.append(loss.item())
        plain(loss, *arguments, **options)

    torch.Tensor.backward = backward  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        torch.Tensor.backward = plain  # type: ignore[method-assign]


def ablation_losses() -> list[float]:
    """Two rows of the ablation, a step on words alone and two on clips of each."""
    with _watched_losses() as seen:
        for row in ("baseline", "attention"):
            train(Job(row, seed=1, steps=2, batch=4, side_px=32, word_steps=1))
    return seen


def arithmetic() -> dict[str, Any]:
    """What tells machines apart that round differently: the version of torch, and sums in the order of its kernels."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(4, 24, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(48, 24, 3, 3, generator=generator, requires_grad=True)
    matrix = torch.randn(300, 192, generator=generator, requires_grad=True)
    features = F.gelu(F.conv2d(pixels, kernel, padding=1)).flatten(1)[:, :3000].unflatten(1, (10, 300))
    tokens = F.layer_norm(features @ matrix, (192,))
    F.scaled_dot_product_attention(tokens, tokens, tokens).logsumexp(-1).sum().backward()
    sums = [tokens.exp().sum().item(), kernel.grad.std().item(), matrix.grad.square().sum().item()]  # type: ignore[union-attr]
    return {"torch": torch.__version__, "sums": sums}


def make() -> dict[str, Any]:
    """The whole content of the file."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run, ask = losses(RUN, Path(folder) / "run"), losses(ASK, Path(folder) / "ask")
    return {"arithmetic": arithmetic(), "run": run, "ablation": ablation_losses(), "ask": ask}


if __name__ == "__main__":
    TRACE_FILE.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
