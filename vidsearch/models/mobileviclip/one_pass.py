"""A convolution and what follows it in one pass over memory, where the machine's library can do that.

GELU after a convolution costs a CPU about as much as the convolution, nearly all of it for writing the hidden channels
out, reading them and writing them again. oneDNN applies it, or adds the residual, before a value leaves the registers,
in float32, so that bfloat16 is rounded once instead of twice. torch has these operators for its own compiler; where
they are not to be had (a GPU, training, export, a build without oneDNN) the plain ones do the same.
"""

from __future__ import annotations

import copy
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_gelu(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """gelu(conv(x)), exact GELU; (B, in, H, W) → (B, out, H', W')."""
    if not _in_one_pass(x):
        return F.gelu(conv(x))
    return torch.ops.mkldnn._convolution_pointwise(x, *_arguments(conv), "gelu", [], "none")


def conv_add(conv: nn.Conv2d, x: Tensor, residual: Tensor) -> Tensor:
    """residual + conv(x); (B, in, H, W) and (B, out, H', W') → the latter's shape."""
    if not _in_one_pass(x):
        return residual + conv(x)
    return torch.ops.mkldnn._convolution_pointwise.binary(x, residual, *_arguments(conv), "add", 1.0, None, [], None)


class ConvGelu(nn.Module):
    """A convolution and its GELU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return conv_gelu(self.conv, x)


class DoublingConv(nn.Module):
    """A grouped convolution in which each channel feeds two, as two depthwise ones; then GELU where asked for.

    Libraries have fast kernels for depthwise convolutions and slow ones for groups: ten times slower here.
    """

    def __init__(self, conv: nn.Conv2d, gelu: bool) -> None:
        """`conv` (2C, 1, k, k) over C groups."""
        super().__init__()
        self.even, self.odd = _every_second(conv, 0), _every_second(conv, 1)
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, 2C, H', W'), the two of a channel side by side, channels_last."""
        halves = [conv_gelu(conv, x) if self.gelu else conv(x) for conv in (self.even, self.odd)]
        side_by_side = torch.stack([half.permute(0, 2, 3, 1) for half in halves], dim=4)  # (B, H', W', C, 2)
        return side_by_side.flatten(3).permute(0, 3, 1, 2)


def is_doubling(conv: nn.Conv2d) -> bool:
    """Whether each input channel feeds two output channels and no other."""
    return conv.groups == conv.in_channels > 1 and conv.out_channels == 2 * conv.in_channels


def _every_second(conv: nn.Conv2d, first: int) -> nn.Conv2d:
    half = copy.deepcopy(conv)
    assert half.bias is not None  # folding gives it one
    half.out_channels = half.in_channels
    half.weight = nn.Parameter(half.weight.detach()[first::2].clone(), requires_grad=False)
    half.bias = nn.Parameter(half.bias.detach()[first::2].clone(), requires_grad=False)
    return half


def _arguments(conv: nn.Conv2d) -> tuple[object, ...]:
    return conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups


def _in_one_pass(x: Tensor) -> bool:
    if x.device.type != "cpu" or x.dtype not in _one_pass_dtypes():
        return False
    return not (torch.is_grad_enabled() and x.requires_grad) and not torch.compiler.is_compiling()


@cache
def _one_pass_dtypes() -> tuple[torch.dtype, ...]:
    """In which types this build and this machine have the operators; none where torch no longer has them."""
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it without types
    if not available or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return ()
    fast_bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (torch.float32, torch.bfloat16) if fast_bfloat16 else (torch.float32,)
