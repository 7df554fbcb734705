"""Inference form → the form that runs: everything that Apple's fold leaves apart is folded too, exactly.

Batch norm into the depthwise convolution of each ConvFFN, layer scales into the last layer before them, the norm
before attention into `qkv`, the attention's scale into the rows of q. Key names are no longer the checkpoint's. The
temporal convolution gets a fast path for channels_last, the layout in which CPUs run these networks best; GELU and
residuals go into the convolution before them (`one_pass.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.mobileviclip.blocks import ConvFFN, RepMixerBlock
from vidsearch.models.mobileviclip.fold import (
    FoldedMobileOne,
    FoldedPatch,
    FoldedRepMixer,
    FoldedTemporalMixer,
    TemporalConv,
    conv_norm_kernel,
    convolution,
    norm_scale_shift,
)
from vidsearch.models.mobileviclip.image_encoder import AttentionBlock, from_tokens, to_tokens
from vidsearch.models.mobileviclip.one_pass import ConvGelu, DoublingConv, conv_add, conv_gelu, is_doubling
from vidsearch.models.mobileviclip.temporal import add_temporal_embedding, shifted_sum
from vidsearch.models.mobileviclip.text_encoder import TokenConvBlock

SMALLEST_GAIN = 0.1  # of a middle tap; below it, dividing by it would blow up the other taps


class FusedFFN(nn.Module):
    """x + layer_scale · convffn(x), the scale being in `fc2`."""

    def __init__(self, conv: nn.Conv2d, fc1: nn.Conv2d, fc2: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = conv, fc1, fc2

    def forward(self, x: Tensor) -> Tensor:
        return conv_add(self.fc2, conv_gelu(self.fc1, self.conv(x)), x)


class FusedTemporalConv(nn.Module):
    """The folded temporal convolution, (B·T, C, H, W): as a 2-d convolution where that is the faster form.

    In channels_last memory a clip (B, T, H·W, C) is also a picture of T rows and H·W columns, (B, C, T, H·W): a (k, 1)
    depthwise convolution over it moves no data. Its bias is that of the inner frames; the border frames get the
    difference to theirs afterwards. In row-major memory shifted sums are faster.
    """

    def __init__(self, weight: Tensor, table: Tensor) -> None:
        """Kernel (C, 1, k) and bias table (T, C)."""
        super().__init__()
        self.frames = len(table)
        self.radius = weight.shape[2] // 2
        self.border = [t for t in range(self.frames) if t < self.radius or t >= self.frames - self.radius]
        self.weight = nn.Parameter(weight[..., None])  # (C, 1, k, 1)
        self.inner_bias = nn.Parameter(table[self.frames // 2].clone())
        self.border_bias = nn.Parameter(table - self.inner_bias)  # zero in the inner frames

    def forward(self, x: Tensor) -> Tensor:
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            table = self.inner_bias + self.border_bias
            return shifted_sum(x, self.weight[..., 0], table[:, :, None, None], self.frames)
        height, width = x.shape[2:]
        clip = torch.unflatten(x.permute(0, 2, 3, 1).flatten(1, 2), 0, (-1, self.frames))  # (B, T, H·W, C), a view
        y = F.conv2d(
            clip.permute(0, 3, 1, 2), self.weight, self.inner_bias, padding=(self.radius, 0), groups=x.shape[1]
        )
        y = y.permute(0, 2, 3, 1)  # (B, T, H·W, C)
        for frame in self.border:
            y[:, frame] += self.border_bias[frame]
        return torch.unflatten(y.flatten(0, 1), 1, (height, width)).permute(0, 3, 1, 2)


class FusedTokenConv(nn.Module):
    """A convolution block of the text encoder, (B, L, width), over its folded parts."""

    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class FusedAttention(nn.Module):
    """x + layer_scale · attention(norm(x)): norm and scales are in `qkv` and `proj`."""

    def __init__(self, qkv: nn.Linear, proj: nn.Linear, head_dim: int, frames: int) -> None:
        super().__init__()
        self.qkv, self.proj = qkv, proj
        self.head_dim, self.frames = head_dim, frames

    def forward(self, x: Tensor) -> Tensor:
        """(B·T, C, H, W) → the same shape."""
        tokens = to_tokens(x, self.frames)  # (B, T·H·W, C)
        q, k, v = self.qkv(tokens).unflatten(2, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4)  # each (B, heads, N, d)
        mixed = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return x + from_tokens(self.proj(mixed.transpose(1, 2).flatten(2)), x)


class FrameOffset(nn.Module):
    """A TPE of a block of its own: one vector added to every position of frame t."""

    def __init__(self, embedding: nn.Parameter) -> None:
        super().__init__()
        self.temporal_embedding = embedding  # (1, T, C)

    def forward(self, x: Tensor) -> Tensor:
        return add_temporal_embedding(x, self.temporal_embedding)


def fuse_blocks(network: nn.Module) -> None:
    """Replace, in place, the blocks of a network in inference form by their fused form."""
    for name, child in network.named_children():
        if isinstance(child, TokenConvBlock):
            setattr(network, name, FusedTokenConv(fuse_repmixer_block(child)))
        elif isinstance(child, RepMixerBlock):
            setattr(network, name, fuse_repmixer_block(child))
        elif isinstance(child, AttentionBlock):
            setattr(network, name, fuse_attention_block(child))
        elif isinstance(child, FoldedPatch):
            setattr(network, name, fuse_conv(child.lkb_reparam, child.se))
        elif isinstance(child, FoldedMobileOne) and isinstance(child.activation, nn.GELU):
            setattr(network, name, fuse_conv(child.reparam_conv, child.se))
        else:
            fuse_blocks(child)


def fuse_conv(conv: nn.Conv2d, gates: nn.Module) -> nn.Module:
    """A convolution, channel gates where there are any, GELU: as few passes over memory as possible."""
    if isinstance(gates, nn.Identity):
        return DoublingConv(conv, gelu=True) if is_doubling(conv) else ConvGelu(conv)
    return nn.Sequential(DoublingConv(conv, gelu=False) if is_doubling(conv) else conv, gates, nn.GELU())


def fuse_repmixer_block(block: RepMixerBlock) -> nn.Sequential:
    mixer: nn.Module = block.token_mixer
    parts = [mixer, fuse_ffn(block.convffn, block.layer_scale)]
    if isinstance(block.temporal, FoldedTemporalMixer):
        assert isinstance(mixer, FoldedRepMixer)  # both were folded together
        parts[:1] = fuse_temporal(block.temporal.reparam_conv, mixer.reparam_conv)
    return nn.Sequential(*parts)


def fuse_temporal(temporal: TemporalConv, mixer: nn.Conv2d) -> list[nn.Module]:
    """The convolution along time and the depthwise one after it, the gain of each channel moved into the latter.

    Folded kernels hold the residual, so their middle tap g is near 1, where bfloat16 is coarse: rounded, it is a wrong
    gain for a whole channel, block after block. Divided by g the middle tap is exactly 1, and the next kernel takes g.
    """
    kernel = temporal.weight.double()  # (C, 1, k)
    gain = kernel[:, 0, kernel.shape[2] // 2]
    gain = torch.where(gain.abs() > SMALLEST_GAIN, gain, 1.0)
    along_time = FusedTemporalConv(
        (kernel / gain[:, None, None]).to(temporal.weight), (temporal.bias.double() / gain).to(temporal.weight)
    )
    assert mixer.bias is not None  # folding gives it one
    scaled = convolution(
        mixer.weight.double() * gain[:, None, None, None], mixer.bias.double(), mixer.weight, 1, mixer.groups
    )
    return [along_time, scaled]


def fuse_attention_block(block: AttentionBlock) -> nn.Sequential:
    parts: list[nn.Module] = [] if block.temporal_embedding is None else [FrameOffset(block.temporal_embedding)]
    return nn.Sequential(*parts, fuse_attention(block), fuse_ffn(block.convffn, block.layer_scale_2))


def fuse_ffn(ffn: ConvFFN, layer_scale: Tensor) -> FusedFFN:
    """BN into the depthwise convolution (which gets a bias), layer scale (C, 1, 1) into the rows of `fc2`."""
    kernel, bias = conv_norm_kernel(ffn.conv)
    scale = layer_scale.double()
    assert ffn.fc2.bias is not None  # built with one
    fc2 = convolution(
        ffn.fc2.weight.double() * scale[..., None], ffn.fc2.bias.double() * scale[:, 0, 0], layer_scale, 1, 1
    )
    return FusedFFN(convolution(kernel, bias, layer_scale, 1, ffn.conv.conv.groups), ffn.fc1, fc2)


def fuse_attention(block: AttentionBlock) -> FusedAttention:
    """qkv(s·x + d) = (W·diag(s))·x + W·d; the rows of q take head_dim^-0.5, those of `proj` the layer scale."""
    mixer = block.token_mixer
    scale, shift = norm_scale_shift(block.norm)
    weight = mixer.qkv.weight.double()  # (3C, C)
    rows = torch.ones(weight.shape[0], dtype=torch.float64, device=weight.device)
    rows[: weight.shape[1]] = mixer.head_dim**-0.5
    layer_scale = block.layer_scale_1[:, 0, 0].double()
    assert mixer.proj.bias is not None  # built with one
    qkv = linear(weight * scale * rows[:, None], (weight @ shift) * rows, mixer.qkv.weight)
    proj = linear(mixer.proj.weight.double() * layer_scale[:, None], mixer.proj.bias.double() * layer_scale, qkv.weight)
    return FusedAttention(qkv, proj, mixer.head_dim, mixer.frames)


def linear(weight: Tensor, bias: Tensor, like: Tensor) -> nn.Linear:
    """A linear layer of that weight and bias, in the dtype and on the device of `like`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=like.dtype, device=like.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
