"""The depthwise convolutions of a fused network as Triton kernels, over channels_last memory.

Libraries are fast where many channels meet. Where each channel stays on its own, in space or along time, a convolution
costs what moving the pictures costs, and cuDNN takes four times as long: here a program holds a tile of pixels and
channels, and neighbours come from the cache. Sums are float32; GELU is the exact one, before the only rounding.

Triton comes with torch where torch has CUDA. The modules replaced (`fuse.py`, `one_pass.py`) are what tests compare.

Axes: N pictures, C channels, H and W rows and columns, B clips, T frames, k taps.
"""

# Triton reads a kernel's annotations as its own: it has no types for pointers.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-calls=False
# mypy: disallow-untyped-decorators=False, warn-unused-ignores=False

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor, nn

from vidsearch.models.mobileviclip.fuse import FusedFFN, FusedTemporalConv
from vidsearch.models.mobileviclip.one_pass import ConvGelu, DoublingConv

_VALUES = 2048  # of a tile, pixels × channels
_CHANNELS = 64  # of a tile at most
_TIME_BLOCK = 2048
_FEW_VALUES = 16  # of a trial


def try_out(device: torch.device) -> None:
    """Run the smallest kernel. Raises whatever Triton raises where it cannot: without a C compiler, say."""
    x = torch.ones(2 * _FEW_VALUES, device=device)
    with torch.cuda.device(device):
        _over_time[(1, 2)](x, x, x, torch.empty_like(x), 2, _FEW_VALUES, _FEW_VALUES, TAPS=1, BLOCK=_FEW_VALUES)
    torch.cuda.synchronize(device)


def use_kernels(network: nn.Module) -> None:
    """Replace, in place, the depthwise convolutions of a fused network on a CUDA device."""
    for name, child in network.named_children():
        kernel = _kernel_for(child)
        if kernel is None:
            use_kernels(child)
        else:
            setattr(network, name, kernel)


def _kernel_for(module: nn.Module) -> nn.Module | None:
    if isinstance(module, FusedFFN):
        return JoinedFFN(module)
    if isinstance(module, FusedTemporalConv):
        return TemporalKernel(module)
    if isinstance(module, ConvGelu) and module.conv.kernel_size == (1, 1) and module.conv.groups == 1:
        return PixelGelu(module.conv)
    if isinstance(module, DoublingConv):
        return DepthwiseKernel([module.even, module.odd], gelu=module.gelu)
    if isinstance(module, ConvGelu) and _is_depthwise(module.conv):
        return DepthwiseKernel([module.conv], gelu=True)
    if isinstance(module, nn.Conv2d) and _is_depthwise(module):
        return DepthwiseKernel([module], gelu=False)
    return None


def _is_depthwise(conv: nn.Conv2d) -> bool:
    one_for_one = conv.groups == conv.in_channels == conv.out_channels > 1
    centred = conv.padding == (conv.kernel_size[0] // 2,) * 2 and conv.kernel_size[0] == conv.kernel_size[1]
    return one_for_one and centred and conv.dilation == (1, 1) and conv.bias is not None


class PixelGelu(nn.Module):
    """A convolution of one pixel and its GELU as one product of matrices, with bias and GELU inside it.

    cuDNN adds a bias in a pass of its own. GELU is the tanh form, which the library has: it differs from the exact one
    by less than 0.0005, a fraction of what bfloat16 rounds.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None  # folding gives it one
        self.register_buffer("weight", conv.weight.detach().flatten(1).T)  # (inputs, outputs), a view
        self.register_buffer("bias", conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, outputs, H, W), channels_last."""
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        out = torch._addmm_activation(self.bias, pixels.flatten(0, 2), self.weight, use_gelu=True)
        return torch.unflatten(out, 0, pixels.shape[:3]).permute(0, 3, 1, 2)


class JoinedFFN(nn.Module):
    """A feed-forward part over products of matrices."""

    def __init__(self, ffn: FusedFFN) -> None:
        super().__init__()
        self.conv = _kernel_for(ffn.conv) or ffn.conv
        self.fc1, self.fc2 = PixelGelu(ffn.fc1), ffn.fc2

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → the same shape, channels_last."""
        hidden = self.fc1(self.conv(x)).permute(0, 2, 3, 1)  # (N, H, W, hidden)
        return F.linear(hidden, self.fc2.weight.flatten(1), self.fc2.bias).permute(0, 3, 1, 2).add_(x)


class DepthwiseKernel(nn.Module):
    """Depthwise convolutions of one input, their outputs side by side for each channel; then GELU where asked for."""

    taps: Tensor
    bias: Tensor

    def __init__(self, convs: list[nn.Conv2d], *, gelu: bool) -> None:
        super().__init__()
        first = convs[0]
        self.multiplier, self.gelu = len(convs), gelu
        self.side, self.stride, self.padding = first.kernel_size[0], first.stride[0], first.kernel_size[0] // 2
        kernels = torch.stack([conv.weight.detach()[:, 0] for conv in convs], dim=1)  # (C, m, k, k)
        self.register_buffer("taps", kernels.flatten(0, 1).flatten(1).T.contiguous())  # (k·k, C·m)
        biases = [conv.bias.detach() for conv in convs if conv.bias is not None]
        self.register_buffer("bias", torch.stack(biases, dim=1).flatten())  # (C·m)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C·m, H', W'), channels_last."""
        x = x.contiguous(memory_format=torch.channels_last)
        pictures, channels, *sides = x.shape
        height, width = ((side + 2 * self.padding - self.side) // self.stride + 1 for side in sides)
        outputs = channels * self.multiplier
        out = x.new_empty((pictures, height, width, outputs))
        rows, columns, block, warps = tile_of(outputs, width)
        tiles = triton.cdiv(height, rows) * triton.cdiv(width, columns)
        _depthwise[(tiles, triton.cdiv(outputs, block), pictures)](
            x, self.taps, self.bias, out, *sides, channels, height, width, outputs,
            SIDE=self.side, STRIDE=self.stride, PADDING=self.padding, MULTIPLIER=self.multiplier, GELU=self.gelu,
            ROWS=rows, COLUMNS=columns, BLOCK=block, num_warps=warps,
        )  # fmt: skip
        return out.permute(0, 3, 1, 2)


class TemporalKernel(nn.Module):
    """The folded temporal convolution, its bias a table of frames and channels."""

    taps: Tensor
    table: Tensor

    def __init__(self, conv: FusedTemporalConv) -> None:
        super().__init__()
        self.frames = conv.frames
        self.register_buffer("taps", conv.weight.detach()[:, 0, :, 0].T.contiguous())  # (k, C)
        self.register_buffer("table", (conv.inner_bias + conv.border_bias).detach().contiguous())  # (T, C)

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape, channels_last."""
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(x)
        pictures, channels, height, width = x.shape
        size = height * width * channels
        _over_time[(triton.cdiv(size, _TIME_BLOCK), pictures)](
            x, self.taps, self.table, out, self.frames, size, channels, TAPS=len(self.taps), BLOCK=_TIME_BLOCK
        )
        return out


def tile_of(channels: int, width: int) -> tuple[int, int, int, int]:
    """Rows, columns and channels of a tile, and the warps of its program."""
    block = min(_CHANNELS, channels & -channels)  # the largest power of two that divides them
    if block < 16:
        block = min(_CHANNELS, triton.next_power_of_2(channels))
    columns = min(8, triton.next_power_of_2(width))
    return max(1, _VALUES // block // columns), columns, block, 4


@triton.jit
def _depthwise(
    x, taps, bias, out, height, width, channels, out_height, out_width, outputs,
    SIDE: tl.constexpr, STRIDE: tl.constexpr, PADDING: tl.constexpr, MULTIPLIER: tl.constexpr, GELU: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(out_width, COLUMNS)
    pixel = tl.arange(0, ROWS * COLUMNS)
    rows = tl.program_id(0) // across * ROWS + pixel // COLUMNS
    columns = tl.program_id(0) % across * COLUMNS + pixel % COLUMNS
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = channel < outputs
    picture = tl.program_id(2).to(tl.int64)
    start = x + picture * height * width * channels + (channel // MULTIPLIER)[None, :]
    total = tl.zeros((ROWS * COLUMNS, BLOCK), tl.float32)
    for dy in range(SIDE):
        y = rows * STRIDE + dy - PADDING
        in_rows = (y >= 0) & (y < height)
        for dx in tl.static_range(SIDE):
            z = columns * STRIDE + dx - PADDING
            inside = in_rows & (z >= 0) & (z < width)
            values = tl.load(
                start + ((y * width + z) * channels)[:, None], mask=inside[:, None] & there[None, :], other=0.0
            )
            tap = tl.load(taps + (dy * SIDE + dx) * outputs + channel, mask=there, other=0.0)
            total += values.to(tl.float32) * tap.to(tl.float32)[None, :]
    total += tl.load(bias + channel, mask=there, other=0.0).to(tl.float32)[None, :]
    if GELU:
        total = 0.5 * total * (1 + tl.erf(total * 0.7071067811865476))
    places = (picture * out_height + rows) * out_width + columns
    kept = ((rows < out_height) & (columns < out_width))[:, None] & there[None, :]
    tl.store(out + places[:, None] * outputs + channel[None, :], total.to(out.dtype.element_ty), mask=kept)


@triton.jit
def _over_time(x, taps, table, out, frames, size, channels, TAPS: tl.constexpr, BLOCK: tl.constexpr):
    """One frame of a clip, a block of its values, pixel after pixel."""
    picture = tl.program_id(1)
    frame = picture % frames
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    channel = place % channels
    total = tl.load(table + frame * channels + channel, mask=inside, other=0.0).to(tl.float32)
    for tap in tl.static_range(TAPS):
        shift = tap - TAPS // 2
        seen = inside & (frame + shift >= 0) & (frame + shift < frames)
        values = tl.load(x + (picture + shift).to(tl.int64) * size + place, mask=seen, other=0.0).to(tl.float32)
        total += values * tl.load(taps + tap * channels + channel, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + picture.to(tl.int64) * size + place, total.to(out.dtype.element_ty), mask=inside)
