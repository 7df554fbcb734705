"""The sentence encoder of ConSE and what makes its vectors comparable with those of clips → ONNX; no torch in a query.

    ids, positions (B, L) int64 → vectors (B, E) float32, unit length; any B, any L up to 512

Matrices are stored as float16 and widened when the graph is opened. Layout: `minilm.py`; the end: `space.py`.
Axis letters: B texts, L tokens, W width, H heads, d = W / H, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from vidsearch.models.conse.config import EMBED_DIM
from vidsearch.models.conse.minilm import EPS, HEADS, LAYERS, WIDTH
from vidsearch.models.conse.query_tokenizer import IDS, PADDING, POSITIONS
from vidsearch.models.conse.space import REACH_FLOOR
from vidsearch.models.conversion.graph import Array, Graph

_MASKED = -1e9  # added to the score of a token that is padding


def export_query_encoder(state: Mapping[str, Tensor], classes: Tensor, centre: Tensor, path: Path) -> None:
    """Write the graph to `path`, its tensors to `path` + ".data". Same input, same bytes.

    `state` is that of `MiniLM`, `classes` (K, W) the centred class vectors and `centre` (W) what was taken from them.
    """
    graph = Graph({key: tensor.detach().cpu().float().numpy() for key, tensor in state.items()})
    x = _embed(graph)  # (B, L, W)
    is_padding = graph.op("Equal", IDS, graph.tensor("padding", [PADDING]))  # (B, L)
    hidden, mask = (graph.as_float32(value) for value in (is_padding, graph.op("Not", is_padding)))
    padding = graph.op("Mul", hidden, _scalar(graph, _MASKED))
    added = graph.op("Unsqueeze", padding, graph.tensor("axes_1_2", [1, 2]))  # (B, 1, 1, L)
    for number in range(LAYERS):
        x = _layer(graph, x, added, f"encoder.layer.{number}")
    sentence = _mean(graph, x, mask)
    _in_space(graph, sentence, classes.numpy(), centre.numpy())
    graph.write(path, {IDS: ["batch", "tokens"], POSITIONS: ["batch", "tokens"]}, EMBED_DIM)


def _embed(graph: Graph) -> str:
    """(B, L) → (B, L, W)."""
    words = _rows(graph, "words", graph.state["embeddings.word_embeddings.weight"], IDS)
    first_type = graph.state["embeddings.token_type_embeddings.weight"][0]
    positions = _rows(graph, "places", graph.state["embeddings.position_embeddings.weight"] + first_type, POSITIONS)
    return graph.norm(graph.op("Add", words, positions), "embeddings.LayerNorm", EPS)


def _rows(graph: Graph, name: str, table: Array, numbers: str) -> str:
    """(B, L) → (B, L, W): rows of a table in float16; they are widened, the table is not."""
    graph.tensors[name] = np.ascontiguousarray(table.astype(np.float16))
    return graph.as_float32(graph.op("Gather", name, numbers))


def _layer(graph: Graph, x: str, added: str, key: str) -> str:
    """(B, L, W) → the same shape; normalised after each part."""
    attended = _linear(graph, _attention(graph, x, added, f"{key}.attention.self"), f"{key}.attention.output.dense")
    x = graph.norm(graph.op("Add", attended, x), f"{key}.attention.output.LayerNorm", EPS)
    hidden = graph.op("Gelu", _linear(graph, x, f"{key}.intermediate.dense"))
    out = _linear(graph, hidden, f"{key}.output.dense")
    return graph.norm(graph.op("Add", out, x), f"{key}.output.LayerNorm", EPS)


def _attention(graph: Graph, x: str, added: str, key: str) -> str:
    """(B, L, W) and (B, 1, 1, L) → (B, L, W)."""
    apart = graph.tensor("apart", [0, 0, HEADS, WIDTH // HEADS])
    q, k, v = (
        graph.op("Reshape", _linear(graph, x, f"{key}.{part}"), apart) for part in ("query", "key", "value")
    )  # (B, L, H, d)
    q = graph.op("Mul", graph.op("Transpose", q, perm=[0, 2, 1, 3]), _scalar(graph, (WIDTH / HEADS) ** -0.5))
    k = graph.op("Transpose", k, perm=[0, 2, 3, 1])  # (B, H, d, L)
    weights = graph.op("Softmax", graph.op("Add", graph.op("MatMul", q, k), added), axis=-1)
    mixed = graph.op("MatMul", weights, graph.op("Transpose", v, perm=[0, 2, 1, 3]))  # (B, H, L, d)
    together = graph.tensor("together", [0, 0, WIDTH])
    return graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), together)


def _linear(graph: Graph, x: str, key: str) -> str:
    """x (…, in) → (…, out)."""
    weight = graph.half(f"{key}.weight", graph.state[f"{key}.weight"].T)
    return graph.op("Add", graph.op("MatMul", x, weight), graph.weight(f"{key}.bias"))


def _mean(graph: Graph, x: str, mask: str) -> str:
    """(B, L, W) and (B, L) → (B, W), unit length: mean pooling over the tokens."""
    row = graph.op("Unsqueeze", mask, graph.tensor("one", [1]))  # (B, 1, L)
    total = graph.op("Squeeze", graph.op("MatMul", row, x), graph.tensor("one", [1]))  # a mean's direction is the sum's
    return _unit(graph, total)


def _in_space(graph: Graph, sentence: str, classes: Array, centre: Array) -> str:
    """(B, W) → (B, E); see `space.queries_in_space`."""
    x = _unit(graph, graph.op("Sub", sentence, graph.tensor("centre", centre)))
    unit_classes = classes / np.linalg.norm(classes, axis=1, keepdims=True)
    nearness = graph.op("MatMul", x, graph.tensor("classes", unit_classes.T))  # (B, K)
    reach = graph.op("ReduceMax", nearness, graph.tensor("one", [1]), keepdims=1)  # (B, 1)
    floor = _scalar(graph, REACH_FLOOR)
    scale = graph.op("Div", floor, graph.op("Max", reach, floor))
    rest = graph.op("Sub", _scalar(graph, 1.0), graph.op("Mul", scale, scale))
    return graph.op("Concat", graph.op("Mul", x, scale), graph.op("Sqrt", rest), axis=1)


def _unit(graph: Graph, x: str) -> str:
    """(B, W) → unit length."""
    length = graph.op("ReduceL2", x, graph.tensor("one", [1]), keepdims=1)
    return graph.op("Div", x, graph.op("Max", length, _scalar(graph, 1e-12)))


def _scalar(graph: Graph, value: float) -> str:
    return graph.tensor(f"scalar_{value!r}", np.array([value]))
