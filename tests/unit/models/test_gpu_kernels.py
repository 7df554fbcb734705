"""Depthwise convolutions as kernels against the modules that they replace: on CUDA, or in Triton's interpreter.

Where there is no GPU: `pip install triton`, then `TRITON_INTERPRET=1 python -m pytest` this file.
"""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

CUDA = torch.cuda.is_available()
if not CUDA and not os.environ.get("TRITON_INTERPRET"):
    pytest.skip("no CUDA device; with triton installed, TRITON_INTERPRET=1 runs it here", allow_module_level=True)

from vidsearch.models.mobileviclip.fuse import FusedFFN, FusedTemporalConv  # noqa: E402
from vidsearch.models.mobileviclip.gpu_kernels import use_kernels  # noqa: E402
from vidsearch.models.mobileviclip.one_pass import ConvGelu, DoublingConv  # noqa: E402

DEVICE = "cuda" if CUDA else "cpu"


def conv(channels: int, side: int, stride: int, multiplier: int = 1) -> nn.Conv2d:
    torch.manual_seed(side)
    return nn.Conv2d(channels, multiplier * channels, side, stride, side // 2, groups=channels).requires_grad_(False)


def temporal() -> FusedTemporalConv:
    torch.manual_seed(1)
    table = torch.randn(4, 20)
    table[1] = table[2]  # inner frames have one bias
    table = table.T.contiguous().T  # as a fold leaves it
    return FusedTemporalConv(torch.randn(20, 1, 3), table).requires_grad_(False)


MODULES = {
    "mixer": lambda: conv(20, 3, 1),
    "large": lambda: conv(16, 7, 1),
    "strided": lambda: ConvGelu(conv(16, 3, 2)),
    "doubling": lambda: DoublingConv(conv(6, 7, 2, 2), gelu=True),
    "doubling, no gelu": lambda: DoublingConv(conv(6, 3, 1, 2), gelu=False),
    "over time": temporal,
    "one pixel": lambda: ConvGelu(nn.Conv2d(16, 24, 1).requires_grad_(False)),
    "feed-forward": lambda: FusedFFN(conv(16, 3, 1), nn.Conv2d(16, 40, 1), nn.Conv2d(40, 16, 1)).requires_grad_(False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MODULES)
@torch.inference_mode()
def test_a_kernel_gives_what_its_module_gives(name: str, dtype: torch.dtype) -> None:
    module = nn.Sequential(MODULES[name]()).to(DEVICE, dtype)
    channels = 16 if name in ("one pixel", "feed-forward") else next(module.parameters()).shape[0]
    x = torch.randn(8, channels, 9, 11, generator=torch.Generator().manual_seed(0)).to(DEVICE, dtype)
    x = x.to(memory_format=torch.channels_last)
    expected = module(x)
    use_kernels(module)
    assert type(module[0]).__module__ == use_kernels.__module__
    got = module(x)
    assert got.is_contiguous(memory_format=torch.channels_last)
    # One rounding to 8 bits instead of several; on CUDA GELU is the tanh form.
    allowed = 2**-6 if dtype == torch.bfloat16 else 1e-3 if CUDA and name in ("one pixel", "feed-forward") else 1e-5
    torch.testing.assert_close(got, expected, rtol=allowed, atol=allowed)
