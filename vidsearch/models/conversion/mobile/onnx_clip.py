"""The export form of a clip tower → ONNX, module by module; any number of clips.

    clip (batch, T, 3, S, S) float32 normalised → vectors (batch, E) float32, unit length

Nodes and their outputs are named after the module, `network/0/0/temporal/Pad_12`, so that a profile can be read. Frames
stand in the batch axis, (B·T, C, H, W); what mixes frames takes a clip apart first. Axis letters as in `config.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vidsearch.models.conversion.graph import Array, Graph, Stored
from vidsearch.models.mobileviclip.export_form import ClipTower
from vidsearch.models.mobileviclip.export_layers import (
    ClipHead,
    ConvFeedForward,
    ConvGelu,
    FrameTable,
    Gates,
    PictureAttention,
    ShiftedTemporal,
    SpelledAttention,
    SplitConv,
)

INPUT = "clip"


def write_clip_tower(tower: ClipTower, path: Path, stored: Stored = "float32") -> None:
    """Write a tower with shifted sums and split convolutions as one file. Same tower, same bytes."""
    graph = Graph({}, stored)
    side = tower.side_px
    x = graph.op("Reshape", INPUT, graph.tensor("frames", [-1, 3, side, side]))
    for name, child in tower.named_children():
        x = _within(graph, child, x, name)
    inputs: dict[str, list[str | int]] = {INPUT: ["batch", tower.frames, 3, side, side]}
    width = tower.head.proj.out_features
    graph.write(path, inputs, width, name="clip_encoder", dtype="float32", one_file=True)


def _within(graph: Graph, module: nn.Module, x: str, name: str) -> str:
    with graph.within(name):
        return _WRITERS[type(module)](graph, module, x)


def _sequence(graph: Graph, parts: nn.Sequential, x: str) -> str:
    for name, part in parts.named_children():
        x = _within(graph, part, x, name)
    return x


def _conv(graph: Graph, conv: nn.Conv2d, x: str) -> str:
    assert conv.bias is not None and isinstance(conv.padding, tuple)  # folding gives both
    rows, columns = conv.padding
    return graph.op(
        "Conv",
        x,
        graph.kernel(graph.own("weight"), _values(conv.weight)),
        graph.tensor(graph.own("bias"), _values(conv.bias)),
        kernel_shape=list(conv.kernel_size),
        strides=list(conv.stride),
        pads=[rows, columns, rows, columns],
        group=conv.groups,
    )


def _split_conv(graph: Graph, conv: SplitConv, x: str) -> str:
    halves = [_within(graph, half, x, name) for name, half in conv.named_children()]
    return graph.op("Concat", *halves, axis=1)


def _conv_gelu(graph: Graph, block: ConvGelu, x: str) -> str:
    x = _within(graph, block.conv, x, "conv")
    if block.gates is not None:
        x = _within(graph, block.gates, x, "gates")
    return graph.op("Gelu", x)


def _gates(graph: Graph, gates: Gates, x: str) -> str:
    reduced = graph.op("Relu", _within(graph, gates.reduce, graph.op("GlobalAveragePool", x), "reduce"))
    return graph.op("Mul", x, graph.op("Sigmoid", _within(graph, gates.expand, reduced, "expand")))


def _feed_forward(graph: Graph, block: ConvFeedForward, x: str) -> str:
    hidden = graph.op("Gelu", _within(graph, block.fc1, _within(graph, block.conv, x, "conv"), "fc1"))
    return graph.op("Add", x, _within(graph, block.fc2, hidden, "fc2"))


def _temporal(graph: Graph, block: ShiftedTemporal, x: str) -> str:
    """(B·T, C, H, W) → the same shape: shifted copies of (B, T, C, H·W), zeros at the ends."""
    frames, radius = block.frames, block.radius
    clip = _apart(graph, x, frames, block.channels, block.size)
    taps = [graph.tensor(graph.own(f"taps.{i}"), _values(tap).reshape(-1, 1)) for i, tap in enumerate(block.taps)]
    table = graph.tensor(graph.own("table"), _values(block.table).reshape(frames, -1, 1))
    total = graph.op("Add", graph.op("Mul", clip, taps[radius]), table)
    for shift in range(1, min(radius, frames - 1) + 1):
        for tap, kept, pads in (
            (taps[radius - shift], (0, frames - shift), (shift, 0)),
            (taps[radius + shift], (shift, frames), (0, shift)),
        ):
            first, last = (graph.tensor(f"at_{edge}", [edge]) for edge in kept)
            part = graph.op("Mul", graph.op("Slice", clip, first, last, graph.tensor("one", [1])), tap)
            around = graph.tensor(f"pad_{pads[0]}_{pads[1]}", [0, pads[0], 0, 0, 0, pads[1], 0, 0])
            total = graph.op("Add", total, graph.op("Pad", part, around))
    return _together(graph, total, block.channels, block.size)


def _table(graph: Graph, block: FrameTable, x: str) -> str:
    clip = _apart(graph, x, block.frames, block.channels, block.size)
    table = graph.tensor(graph.own("table"), _values(block.table).reshape(block.frames, -1, 1))
    return _together(graph, graph.op("Add", clip, table), block.channels, block.size)


def _picture_attention(graph: Graph, block: PictureAttention, x: str) -> str:
    attention = block.attention
    positions = block.size[0] * block.size[1]
    frames = attention.tokens // positions  # that attend to each other
    clip = graph.op("Transpose", _apart(graph, x, frames, attention.channels, block.size), perm=[0, 1, 3, 2])
    tokens = graph.op("Reshape", clip, graph.shape([-1, attention.tokens, attention.channels]))
    mixed = graph.op(
        "Reshape",
        _within(graph, attention, tokens, "attention"),
        graph.shape([-1, frames, positions, attention.channels]),
    )
    back = _together(graph, graph.op("Transpose", mixed, perm=[0, 1, 3, 2]), attention.channels, block.size)
    return graph.op("Add", x, back)


def _attention(graph: Graph, block: SpelledAttention, x: str) -> str:
    """(B, N, C) → the same shape."""
    depth = block.channels // block.heads
    apart = graph.shape([-1, block.tokens, block.heads, depth])
    q, k, v = (
        graph.op("Transpose", graph.op("Reshape", _within(graph, layer, x, name), apart), perm=perm)
        for layer, name, perm in (
            (block.q, "q", [0, 2, 1, 3]),
            (block.k, "k", [0, 2, 3, 1]),
            (block.v, "v", [0, 2, 1, 3]),
        )
    )
    mixed = graph.op("MatMul", graph.op("Softmax", graph.op("MatMul", q, k), axis=-1), v)  # (B, H, N, d)
    rows = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
    joined = graph.op("Reshape", rows, graph.shape([-1, block.tokens, block.channels]))
    return _within(graph, block.proj, joined, "proj")


def _linear(graph: Graph, layer: nn.Linear, x: str) -> str:
    bias = None if layer.bias is None else _values(layer.bias)
    return graph.linear(x, graph.own("")[:-1], _values(layer.weight), bias)


def _head(graph: Graph, head: ClipHead, x: str) -> str:
    """(B·T, C, H, W) → (B, E)."""
    channels = head.proj.in_features
    clip = _apart(graph, x, head.frames, channels, head.size)
    mean = graph.op("ReduceMean", clip, graph.tensor("axes_1_3", [1, 3]), keepdims=0)  # (B, C)
    vectors = _within(graph, head.proj, mean, "proj")
    length = graph.op("ReduceL2", vectors, graph.tensor("one", [1]), keepdims=1)
    return graph.op("Div", vectors, length)


def _apart(graph: Graph, x: str, frames: int, channels: int, size: tuple[int, int]) -> str:
    """(B·T, C, H, W) → (B, T, C, H·W)."""
    return graph.op("Reshape", x, graph.shape([-1, frames, channels, size[0] * size[1]]))


def _together(graph: Graph, clip: str, channels: int, size: tuple[int, int]) -> str:
    """(B, T, C, H·W) → (B·T, C, H, W)."""
    return graph.op("Reshape", clip, graph.shape([-1, channels, *size]))


def _values(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy()


_WRITERS: dict[type[nn.Module], Callable[[Graph, Any, str], str]] = {
    nn.Sequential: _sequence,
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    SplitConv: _split_conv,
    ConvGelu: _conv_gelu,
    Gates: _gates,
    ConvFeedForward: _feed_forward,
    ShiftedTemporal: _temporal,
    FrameTable: _table,
    PictureAttention: _picture_attention,
    SpelledAttention: _attention,
    ClipHead: _head,
}
