"""The folded text encoder → ONNX, so that a query needs no torch.

The graph is written operator by operator from the inference form's state dict. torch's own exporter gives the same
vectors, but takes half a minute for the larger text encoder where this takes a second, stores the paths of the machine
in every node, and would bind a folder's bytes to torch's version. The price, a second description of the network, is
paid by `install.py`: no model is installed whose graph differs from torch. Layout: docs/networks.md.

    ids (B, 77) int64 → vectors (B, E) float32, unit length; any B

Axis letters: B texts, L tokens, W width of the encoder, H heads, d = W / H.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from vidsearch.models.conversion.graph import Array, Graph, Stored
from vidsearch.models.mobileviclip.config import CONTEXT, END_TOKEN, TextConfig

INPUT = "ids"
_EPS = 1e-5  # of layer norm and batch norm


def export_text_encoder(
    state: Mapping[str, Tensor], config: TextConfig, path: Path, *, stored: Stored = "float32", one_file: bool = False
) -> None:
    """Write the graph of a text encoder to `path`, a large one's tensors to `path` + ".data". Same input, same bytes.

    `state` is the text encoder's state dict in the inference form, without a prefix. `stored` is how matrices and
    kernels lie in the file, `one_file` keeps large tensors in the graph.
    """
    graph = Graph({key: tensor.detach().cpu().numpy() for key, tensor in state.items()}, stored)
    ids = _cut(graph, INPUT, config.context) if config.context < CONTEXT else INPUT
    with graph.within("words"):
        x = _embed(graph, ids, config)
    last = 2 * config.conv_blocks + config.layers
    for index in range(last):
        block = f"transformer.{index}"
        is_conv = index < config.conv_blocks or index >= last - config.conv_blocks
        with graph.within(block):
            x = _conv_block(graph, x, block) if is_conv else _transformer_layer(graph, x, block, config)
    with graph.within("head"):
        _pool(graph, x, ids)
    graph.write(path, {INPUT: ["batch", CONTEXT]}, graph.state["projection_layer"].shape[1], one_file=one_file)


def _cut(graph: Graph, ids: str, context: int) -> str:
    """(B, 77) → (B, context): the first tokens; a longer row ends with the end token (text_encoder.py, `cut`)."""
    axis, step = graph.tensor("one", [1]), graph.tensor("one", [1])
    edges = [graph.tensor(f"at_{edge}", [edge]) for edge in (0, context - 1, context)]
    head = graph.op("Slice", ids, edges[0], edges[1], axis, step)
    last = graph.op("Slice", ids, edges[1], edges[2], axis, step)
    end = graph.op("ArgMax", ids, axis=1, keepdims=1)
    too_long = graph.op("GreaterOrEqual", end, edges[2])
    closed = graph.op("Where", too_long, graph.tensor("end_token", [END_TOKEN]), last)
    return graph.op("Concat", head, closed, axis=1)


def _embed(graph: Graph, ids: str, config: TextConfig) -> str:
    """(B, L) → (B, L, W): the word's row of the table, and the position's."""
    rows = graph.op("Gather", graph.weight("embedding_row"), ids) if config.pruned else ids
    words = graph.rows("embedding_layer.weight", graph.state["embedding_layer.weight"], rows)
    positions = graph.state["positional_embedding.pos_embed.pos_embed"][0]  # (1, L, W)
    return graph.op("Add", words, graph.tensor("positions", positions))


def _transformer_layer(graph: Graph, x: str, block: str, config: TextConfig) -> str:
    """(B, L, W) → the same shape."""
    attended = _attention(graph, graph.norm(x, f"{block}.pre_norm_mha.0", _EPS), f"{block}.pre_norm_mha.1", config)
    x = graph.op("Add", x, attended)
    ffn = f"{block}.pre_norm_ffn"
    hidden = _linear_of(graph, graph.norm(x, f"{ffn}.0", _EPS), f"{ffn}.1")
    return graph.op("Add", x, _linear_of(graph, graph.op("Gelu", hidden), f"{ffn}.4"))


def _attention(graph: Graph, x: str, key: str, config: TextConfig) -> str:
    """(B, L, W) → the same shape; the scale d^-0.5 is folded into the rows that give q."""
    weight = graph.state[f"{key}.qkv_proj.weight"].astype(np.float64)
    bias = graph.state[f"{key}.qkv_proj.bias"].astype(np.float64)
    scale = np.ones(3 * config.width)
    scale[: config.width] = (config.width / config.heads) ** -0.5
    qkv = graph.linear(x, f"{key}.qkv_proj", weight * scale[:, None], bias * scale)
    apart = graph.tensor("apart", [0, 0, config.heads, config.width // config.heads])
    parts = graph.split("Split", 3, qkv, axis=-1, num_outputs=3)
    q, k, v = (graph.op("Reshape", part, apart) for part in parts)  # (B, L, H, d)
    q = graph.op("Transpose", q, perm=[0, 2, 1, 3])  # (B, H, L, d)
    k = graph.op("Transpose", k, perm=[0, 2, 3, 1])  # (B, H, d, L)
    v = graph.op("Transpose", v, perm=[0, 2, 1, 3])
    mixed = graph.op("MatMul", graph.op("Softmax", graph.op("MatMul", q, k), axis=-1), v)
    together = graph.tensor("together", [0, 0, config.width])
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), together)
    return _linear_of(graph, joined, f"{key}.out_proj")


def _linear_of(graph: Graph, x: str, key: str) -> str:
    return graph.linear(x, key, graph.state[f"{key}.weight"], graph.state[f"{key}.bias"])


def _conv_block(graph: Graph, x: str, block: str) -> str:
    """(B, L, W) → the same shape. Batch norm and layer scale, which Apple's fold leaves, are folded here."""
    state = graph.state
    x = graph.op("Transpose", x, perm=[0, 2, 1])  # (B, W, L)
    mixer = f"{block}.token_mixer.reparam_conv"
    mixed = _depthwise(graph, x, mixer, state[f"{mixer}.weight"][:, :, 0], state[f"{mixer}.bias"])
    ffn = f"{block}.convffn"
    y = _depthwise(graph, mixed, f"{ffn}.conv", *_conv_norm(state, f"{ffn}.conv"))
    y = _pointwise(graph, y, f"{ffn}.fc1", state[f"{ffn}.fc1.weight"], state[f"{ffn}.fc1.bias"])
    scale = state[f"{block}.layer_scale"].reshape(-1).astype(np.float64)
    weight, bias = state[f"{ffn}.fc2.weight"] * scale[:, None, None, None], state[f"{ffn}.fc2.bias"] * scale
    y = _pointwise(graph, graph.op("Gelu", y), f"{ffn}.fc2", weight, bias)
    return graph.op("Transpose", graph.op("Add", mixed, y), perm=[0, 2, 1])


def _conv_norm(state: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """A depthwise convolution (W, 1, 1, k) and the batch norm after it → kernel (W, 1, k) and bias (W)."""
    gamma, beta, mean, var = (
        state[f"{key}.bn.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(var + _EPS)
    return state[f"{key}.conv.weight"][:, :, 0] * scale[:, None, None], beta - mean * scale


def _depthwise(graph: Graph, x: str, key: str, kernel: Array, bias: Array) -> str:
    names = graph.kernel(f"{key}.weight", kernel), graph.tensor(f"{key}.bias", bias)
    channels, _, taps = kernel.shape
    return graph.op("Conv", x, *names, group=channels, kernel_shape=[taps], pads=[taps // 2, taps // 2])


def _pointwise(graph: Graph, x: str, key: str, weight: Array, bias: Array) -> str:
    """A 1 × 1 convolution, weight (out, in, 1, 1), over (B, in, L)."""
    names = graph.kernel(f"{key}.weight", weight[:, :, 0]), graph.tensor(f"{key}.bias", bias)
    return graph.op("Conv", x, *names, kernel_shape=[1])


def _pool(graph: Graph, x: str, ids: str) -> str:
    """(B, L, W) → (B, E): the token of the first of the largest ids, the end token; unit length."""
    end = graph.op("ArgMax", ids, axis=1, keepdims=1)  # (B, 1)
    token = graph.op("GatherND", x, end, batch_dims=1)  # (B, W); the norm acts on each token, so it may come after
    projection = graph.kernel("projection_layer", graph.state["projection_layer"], 1)
    vectors = graph.op("MatMul", graph.norm(token, "final_layer_norm", _EPS), projection)
    length = graph.op("ReduceL2", vectors, graph.tensor("one", [1]), keepdims=1)
    return graph.op("Div", vectors, graph.op("Max", length, graph.tensor("tiny", np.array([1e-12]))))
