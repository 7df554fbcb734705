"""Token ids → one vector a text, with numpy alone: what `text_encoder.py` computes, for text encoders that are small.

MobileCLIP (arXiv 2311.17049): a transformer without mask. A text of the bundled model takes numpy a millisecond; ONNX
Runtime is as quick, but takes 30 to be imported. Weights have Apple's names. Axis letters beyond those of `config.py`:
h heads, d values of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidsearch.models.arrays import read_arrays
from vidsearch.models.keys import compare, shapes_of
from vidsearch.models.mobileviclip.config import CONTEXT, END_TOKEN, VOCABULARY, TextConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidsearch.models.folder import ModelFolder
    from vidsearch.models.keys import Shape

    Floats = NDArray[np.float32]

MOST_WEIGHTS = 1_000_000  # of the matrices of all layers: some milliseconds a text
_PREFIX = "text_encoder."
_EPSILON = np.float32(1e-5)  # of the layer norms
_LEAST_LENGTH = np.float32(1e-12)  # by which a vector is divided, as in text.onnx


def small_text_encoder(folder: ModelFolder) -> NumpyTextEncoder | None:
    """The text encoder of a model folder; None where it is not small.

    ModelError if the weights are damaged or not those of the folder's config.
    """
    config: TextConfig = folder.config.text
    if not is_small(config):
        return None
    weights = {name.removeprefix(_PREFIX): weight for name, weight in read_arrays(folder, _PREFIX).items()}
    wanted = expected_shapes(config, folder.embedding.embed_dim)
    compare(shapes_of(weights), wanted, file=str(folder.weights), model=folder.name)
    return NumpyTextEncoder(config, weights, folder.weights)


def is_small(config: TextConfig) -> bool:
    """Whether numpy has a vector before ONNX Runtime is imported. Convolution blocks it does not compute."""
    layer_weights = 4 * config.width**2 + 2 * config.width * config.ffn_width
    return not config.conv_blocks and config.layers * layer_weights <= MOST_WEIGHTS


def expected_shapes(config: TextConfig, embed_dim: int) -> dict[str, Shape]:
    """The weights of a text encoder without convolution blocks: name → shape."""
    width, ffn_width = config.width, config.ffn_width
    shapes: dict[str, Shape] = {
        "embedding_layer.weight": (config.vocabulary_rows, width),
        "positional_embedding.pos_embed.pos_embed": (1, 1, config.context, width),
        "final_layer_norm.weight": (width,),
        "final_layer_norm.bias": (width,),
        "projection_layer": (width, embed_dim),
    }
    if config.pruned:
        shapes["embedding_row"] = (VOCABULARY,)
    for layer in range(config.layers):
        for part, shape in {
            "pre_norm_mha.0": (width,),
            "pre_norm_mha.1.qkv_proj": (3 * width, width),  # rows (q | k | v), each (h, d)
            "pre_norm_mha.1.out_proj": (width, width),
            "pre_norm_ffn.0": (width,),
            "pre_norm_ffn.1": (ffn_width, width),
            "pre_norm_ffn.4": (width, ffn_width),
        }.items():
            shapes[f"transformer.{layer}.{part}.weight"] = shape
            shapes[f"transformer.{layer}.{part}.bias"] = shape[:1]
    return shapes


class NumpyTextEncoder:
    """A `TextEncoder` over the weights that `expected_shapes` names; those in half precision are widened."""

    def __init__(self, config: TextConfig, weights: Mapping[str, NDArray[Any]], path: Path) -> None:
        self.path = path
        self._config = config
        self._weights = {
            name: weight.astype(np.float32) if weight.dtype == np.float16 else weight
            for name, weight in weights.items()
        }

    def encode(self, inputs: Mapping[str, NDArray[np.int64]]) -> Floats:
        """Token ids (B, 77) → (B, E), rows of unit length: the hidden state at the end token, projected."""
        (ids,) = inputs.values()
        with np.errstate(all="ignore"):  # what is not finite is found, and its file named, by who asked
            return self._encoded(cut(ids, self._config.context))

    def _encoded(self, ids: NDArray[np.int64]) -> Floats:
        """(B, L) → (B, E)."""
        rows = self._weights["embedding_row"][ids] if self._config.pruned else ids
        x = self._weights["embedding_layer.weight"][rows]  # (B, L, width)
        x = x + self._weights["positional_embedding.pos_embed.pos_embed"][0]
        for layer in range(self._config.layers):
            x = x + self._attention(x, f"transformer.{layer}.pre_norm_mha")
            x = x + self._feed_forward(x, f"transformer.{layer}.pre_norm_ffn")
        end = x[np.arange(len(ids)), ids.argmax(1)]  # (B, width)
        vectors = self._norm(end, "final_layer_norm") @ self._weights["projection_layer"]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST_LENGTH)

    def _attention(self, x: Floats, name: str) -> Floats:
        """Every token to every token, padding included: (B, L, width) → the same shape."""
        qkv = self._linear(self._norm(x, f"{name}.0"), f"{name}.1.qkv_proj")  # (B, L, 3 * width)
        qkv = qkv.reshape(*x.shape[:2], 3, self._config.heads, -1)  # (B, L, 3, h, d)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each (B, h, L, d)
        attended = softmax(q @ k.swapaxes(2, 3) / np.sqrt(np.float32(q.shape[3])))  # (B, h, L, L)
        mixed = (attended @ v).swapaxes(1, 2).reshape(x.shape)
        return self._linear(mixed, f"{name}.1.out_proj")

    def _feed_forward(self, x: Floats, name: str) -> Floats:
        """(B, L, width) → the same shape."""
        hidden = gelu(self._linear(self._norm(x, f"{name}.0"), f"{name}.1"))  # (B, L, ffn_width)
        return self._linear(hidden, f"{name}.4")

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, x: Floats, name: str) -> Floats:
        """Layer norm over the last axis."""
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + _EPSILON)
        return x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def cut(ids: NDArray[np.int64], context: int) -> NDArray[np.int64]:
    """(B, 77) → (B, context): the first tokens; a row that is longer ends with the end token, as the tokenizer's do."""
    if context == CONTEXT:
        return ids
    first = ids[:, :context].copy()
    first[ids.argmax(1) >= context, -1] = END_TOKEN
    return first


def softmax(x: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu(x: Floats) -> Floats:
    """x / 2 · (1 + erf(x / √2))."""
    return x * np.float32(0.5) * (1 + erf(x * np.float32(0.5**0.5)))


def erf(x: Floats) -> Floats:
    """The error function, within 5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26)."""
    size = np.abs(x)
    t = np.reciprocal(1 + np.float32(0.3275911) * size)
    series = np.zeros_like(x)
    for factor in np.array((1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592), np.float32):
        series = (series + factor) * t
    return np.copysign(1 - series * np.exp(-size * size), x)
