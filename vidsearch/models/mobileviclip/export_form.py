"""The folded network → the form that is exported to phones: equal to it, made of `export_layers.py` alone.

One clip, one text: `clip` (T, 3, S, S) float32 normalised → `vector` (1, E) of unit length; `ids` (1, L) int32 rows of
the word table and `end` (1, 1, L) float32, 1 at the end token, → `vector`. Names of modules are the checkpoint's where
a module is the checkpoint's. MobileCLIP, which looks at each frame on its own, has the same form: its mean over the
frames' vectors is the mean over T in the head.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.models.mobileviclip.blocks import PatchSqueezeExcite, RepMixerBlock, SqueezeExcite
from vidsearch.models.mobileviclip.config import TextConfig
from vidsearch.models.mobileviclip.export_layers import (
    ClipHead,
    ConvFeedForward,
    ConvGelu,
    ConvolvedTemporal,
    FrameTable,
    Gates,
    PictureAttention,
    ShiftedTemporal,
    Size,
    SpelledAttention,
    SplitConv,
    Temporal,
    TextHead,
    TokenConv,
    TokenLayer,
    WordTable,
)
from vidsearch.models.mobileviclip.fold import (
    FoldedMobileOne,
    FoldedPatch,
    FoldedPositionEncoding,
    FoldedRepMixer,
    FoldedTemporalMixer,
    FrameBiasConv,
    convolution,
)
from vidsearch.models.mobileviclip.fuse import fuse_attention, fuse_ffn
from vidsearch.models.mobileviclip.image_encoder import AttentionBlock, Downsample, ImageEncoder
from vidsearch.models.mobileviclip.load import Network
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.models.mobileviclip.text_encoder import TextAttention, TextEncoder, TokenConvBlock, TransformerLayer, cut

Doubling = Literal["grouped", "split"]


@dataclass(frozen=True, slots=True)
class FormOptions:
    """How two things are written that runtimes take differently; the values are the same.

    `temporal`: the convolution along time as shifted sums or as a convolution. `doubling`: a convolution in which each
    channel feeds two as one grouped one or as two depthwise ones.
    """

    temporal: Temporal = "shifted"
    doubling: Doubling = "grouped"


class ClipTower(nn.Module):
    """`clip` (T, 3, S, S) → `vector` (1, E)."""

    def __init__(self, parts: list[tuple[str, nn.Module]], head: ClipHead, side_px: int) -> None:
        super().__init__()
        for name, part in parts:
            self.add_module(name, part)
        self.head = head
        self.frames, self.side_px = head.frames, side_px
        self._parts = [name for name, _ in parts]

    def forward(self, clip: Tensor) -> Tensor:
        for name in self._parts:
            clip = self.get_submodule(name)(clip)
        return self.head(clip)


class TextTower(nn.Module):
    """`ids` (1, L) int32, `end` (1, 1, L) float32 → `vector` (1, E)."""

    def __init__(self, words: WordTable, transformer: nn.Sequential, head: TextHead, context: int) -> None:
        super().__init__()
        self.words, self.transformer, self.head = words, transformer, head
        self.context = context

    def forward(self, ids: Tensor, end: Tensor) -> Tensor:
        return self.head(self.transformer(self.words(ids)), end)


@torch.no_grad()
def clip_tower(network: Network, options: FormOptions | None = None) -> ClipTower:
    """The export form of a network's clip tower; `network` is in its inference form (`reparameterize`)."""
    options = options or FormOptions()
    config = network.config
    encoder = network.vision_encoder if isinstance(network, MobileViCLIP) else network.image_encoder.model
    builder = _Builder(config.preprocessing.frames, options)
    tower = builder.tower(encoder, config.preprocessing.side_px)
    return tower.eval().requires_grad_(False)


@torch.no_grad()
def text_tower(network: Network) -> TextTower:
    """The export form of a network's text tower; `network` is in its inference form."""
    encoder, config = network.text_encoder, network.config.text
    words = WordTable(encoder.embedding_layer, encoder.positional_embedding.pos_embed.pos_embed[0])
    blocks = [_token_block(block, config) for block in encoder.transformer]
    head = TextHead(_plain_norm(encoder.final_layer_norm), _linear(encoder.projection_layer.T, None))
    return TextTower(words, nn.Sequential(*blocks), head, config.context).eval().requires_grad_(False)


def text_inputs(
    encoder: TextEncoder, ids: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """(B, 77) token ids → for each text the rows (1, L) int32 and the end mark (1, 1, L) float32."""
    for row in cut(torch.as_tensor(ids), encoder.context):
        end = torch.zeros(1, 1, encoder.context)
        end[0, 0, int(row.argmax())] = 1
        rows = encoder.embedding_row[row] if encoder.pruned else row
        yield rows[None].numpy().astype(np.int32), end.numpy()


class _Builder:
    """Walks an image encoder in inference form; knows the picture's size at each step."""

    def __init__(self, frames: int, options: FormOptions) -> None:
        self.frames, self.options = frames, options
        self.order: Tensor | None = None  # of the channels that come in, where a split changed it

    def tower(self, encoder: ImageEncoder, side_px: int) -> ClipTower:
        size = (side_px, side_px)
        stem = nn.Sequential()
        for block in encoder.patch_embed:
            assert isinstance(block, FoldedMobileOne)
            stem.append(self.conv_gelu(block.reparam_conv, block.se))
            size = _size_after(block.reparam_conv, size)
        network = nn.Sequential()
        for part in encoder.network:
            built, size = self.part(part, size)
            network.append(built)
        expansion: nn.Module = encoder.conv_exp
        assert isinstance(expansion, FoldedMobileOne)
        wide = self.conv_gelu(expansion.reparam_conv, expansion.se)
        head = ClipHead(_linear(self.reordered(encoder.head.proj.T), None), self.frames, size)
        parts: list[tuple[str, nn.Module]] = [("patch_embed", stem), ("network", network), ("conv_exp", wide)]
        return ClipTower(parts, head, side_px)

    def part(self, part: nn.Module, size: Size) -> tuple[nn.Module, Size]:
        if isinstance(part, Downsample):
            return self.downsample(part, size)
        if isinstance(part, FoldedPositionEncoding):
            return self.position_encoding(part, size), size
        assert isinstance(part, nn.Sequential)
        return nn.Sequential(*(self.block(block, size) for block in part)), size

    def block(self, block: nn.Module, size: Size) -> nn.Module:
        parts = nn.Sequential()
        if isinstance(block, AttentionBlock):
            if block.temporal_embedding is not None:
                parts.add_module("temporal_embedding", self.table(block.temporal_embedding[0], size))
            parts.add_module("token_mixer", self.attention(block, size))
            parts.add_module("convffn", _feed_forward(block, block.layer_scale_2))
            return parts
        assert isinstance(block, RepMixerBlock)
        if isinstance(block.temporal, FoldedTemporalMixer):
            conv = block.temporal.reparam_conv
            along_time = ShiftedTemporal if self.options.temporal == "shifted" else ConvolvedTemporal
            parts.add_module("temporal", along_time(conv.weight, conv.bias, size))
        assert isinstance(block.token_mixer, FoldedRepMixer)
        parts.add_module("token_mixer", block.token_mixer.reparam_conv)
        parts.add_module("convffn", _feed_forward(block, block.layer_scale))
        return parts

    def downsample(self, part: Downsample, size: Size) -> tuple[nn.Module, Size]:
        patch, narrow = part.proj
        assert isinstance(patch, FoldedPatch) and isinstance(narrow, FoldedMobileOne)
        built = nn.Sequential(
            self.conv_gelu(patch.lkb_reparam, patch.se), self.conv_gelu(narrow.reparam_conv, narrow.se)
        )
        return nn.Sequential(OrderedDict(proj=built)), _size_after(patch.lkb_reparam, size)

    def position_encoding(self, part: FoldedPositionEncoding, size: Size) -> nn.Module:
        built = nn.Sequential()
        if part.temporal_embedding is not None:
            built.add_module("temporal_embedding", self.table(part.temporal_embedding[0], size))
        conv = part.reparam_conv
        if isinstance(conv, FrameBiasConv):
            channels = len(conv.weight)
            inner = conv.bias[self.frames // 2]  # the table holds what is left
            built.add_module("reparam_conv", convolution(conv.weight, inner, conv.weight, 1, channels))
            built.add_module("temporal_embedding", self.table(conv.bias - inner, size))
        else:
            built.add_module("reparam_conv", conv)
        return built

    def conv_gelu(self, conv: nn.Conv2d, gates: nn.Module) -> ConvGelu:
        """With the channels that come in, and those that go out, in the order of this form."""
        if self.order is not None:
            conv = convolution(self.reordered(conv.weight), _bias(conv), conv.weight, conv.stride[0], conv.groups)
        outputs = _evens_then_odds(conv) if self.options.doubling == "split" else None
        self.order = outputs
        return ConvGelu(conv if outputs is None else _split(conv), _gates(gates, outputs))

    def reordered(self, weight: Tensor) -> Tensor:
        """(out, in, …) for inputs in the order of this form; that order is then used up."""
        order, self.order = self.order, None
        return weight if order is None else weight[:, order]

    def table(self, table: Tensor, size: Size) -> FrameTable:
        return FrameTable(table, size, self.options.temporal)

    def attention(self, block: AttentionBlock, size: Size) -> PictureAttention:
        fused = fuse_attention(block)
        groups = self.frames // fused.frames
        tokens = fused.frames * size[0] * size[1]
        channels = fused.qkv.in_features
        q, k, v = _thirds(fused.qkv)
        spelled = SpelledAttention(
            _linear(*q), _linear(*k), _linear(*v), fused.proj, channels // fused.head_dim, groups, tokens
        )
        return PictureAttention(spelled, self.frames, size)


def _token_block(block: nn.Module, config: TextConfig) -> nn.Module:
    if isinstance(block, TokenConvBlock):
        assert isinstance(block.token_mixer, FoldedRepMixer)
        return TokenConv(block.token_mixer.reparam_conv, _feed_forward(block, block.layer_scale), config.context)
    assert isinstance(block, TransformerLayer)
    (norm_1, mixer), (norm_2, fc1, _, _, fc2) = block.pre_norm_mha, block.pre_norm_ffn
    assert isinstance(norm_1, nn.LayerNorm) and isinstance(norm_2, nn.LayerNorm) and isinstance(mixer, TextAttention)
    assert isinstance(fc1, nn.Linear) and isinstance(fc2, nn.Linear)
    scale = (config.width // config.heads) ** -0.5
    q, k, v = _thirds(mixer.qkv_proj)
    scaled = _linear((q[0].double() * scale).to(q[0]), (q[1].double() * scale).to(q[1]))
    attention = SpelledAttention(scaled, _linear(*k), _linear(*v), mixer.out_proj, config.heads, 1, config.context)
    return TokenLayer(_plain_norm(norm_1), attention, _plain_norm(norm_2), fc1, fc2)


def _feed_forward(block: RepMixerBlock | AttentionBlock, layer_scale: Tensor) -> ConvFeedForward:
    fused = fuse_ffn(block.convffn, layer_scale)
    return ConvFeedForward(fused.conv, fused.fc1, fused.fc2)


def _gates(gates: nn.Module, order: Tensor | None) -> Gates | None:
    if isinstance(gates, SqueezeExcite):
        reduce, expand = gates.reduce, gates.expand
    elif isinstance(gates, PatchSqueezeExcite):
        reduce, expand = gates.fc1, gates.fc2
    else:
        return None
    if order is not None:
        reduce = convolution(reduce.weight[:, order], _bias(reduce), reduce.weight, 1, 1)
        expand = convolution(expand.weight[order], _bias(expand)[order], expand.weight, 1, 1)
    return Gates(reduce, expand)


def _evens_then_odds(conv: nn.Conv2d) -> Tensor | None:
    """The order of a doubling convolution's outputs once it is split; None for any other convolution."""
    if not (conv.groups == conv.in_channels > 1 and conv.out_channels == 2 * conv.in_channels):
        return None
    outputs = torch.arange(conv.out_channels)
    return torch.cat((outputs[::2], outputs[1::2]))


def _split(conv: nn.Conv2d) -> SplitConv:
    halves = [
        convolution(conv.weight[half::2], _bias(conv)[half::2], conv.weight, conv.stride[0], conv.groups)
        for half in (0, 1)
    ]
    return SplitConv(*halves)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None  # folding gives it one
    return conv.bias


def _thirds(qkv: nn.Linear) -> tuple[tuple[Tensor, Tensor], ...]:
    """Weight and bias of q, k and v."""
    return tuple(zip(torch.chunk(qkv.weight, 3), torch.chunk(qkv.bias, 3), strict=True))


def _size_after(conv: nn.Conv2d, size: Size) -> Size:
    """Height and width of what a convolution with padding k // 2 gives."""
    return -(-size[0] // conv.stride[0]), -(-size[1] // conv.stride[1])


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer of that weight (out, in) and bias, in the weight's dtype."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer


def _plain_norm(norm: nn.LayerNorm) -> nn.LayerNorm:
    """The same norm without the cast to float32 and back."""
    plain = nn.LayerNorm(norm.normalized_shape, norm.eps, dtype=norm.weight.dtype)
    plain.weight.copy_(norm.weight)
    plain.bias.copy_(norm.bias)
    return plain
