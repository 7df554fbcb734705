"""Does a model that embeds do what it should? Its forms against each other, its vectors, and simple pictures and words.

Checks that only a sound file passes: vectors must be finite and tell different inputs apart, the folded forms must
equal the training form, ONNX and numpy must equal torch. Whether words find pictures is measured and kept, and refuses
nothing: weights that were never trained are valid weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.models.findings import Finding
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import MobileCLIPConfig
from vidsearch.models.mobileviclip.load import Network, load_network
from vidsearch.models.mobileviclip.numpy_text import NumpyTextEncoder, is_small
from vidsearch.models.mobileviclip.query_tokenizer import ONNX_INPUT
from vidsearch.models.mobileviclip.tokenizer import tokenize
from vidsearch.models.selftest.vectors import Vectors, distinct, equal, finite

# Folds: float32 sums in another order, over dozens of blocks. ONNX and numpy: what the query path promises.
FOLD_TOLERANCE = 1e-4
ONNX_TOLERANCE = 1e-4
NUMPY_TOLERANCE = 1e-5
TEXTS = ("", "a red circle moves to the left", "two dogs run along the beach at sunset, then " * 12)
_COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.9, 0.1, 0.1),
    "green": (0.1, 0.7, 0.15),
    "blue": (0.1, 0.2, 0.9),
    "yellow": (0.95, 0.85, 0.1),
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
}


def self_test(folder: ModelFolder) -> list[Finding]:
    """Load every form of a model that embeds and examine it. Raises ModelError where it cannot be loaded."""
    network = load_network(folder, form="train")
    return examine(network, network.reparameterize(), folder.text_encoder)


@torch.no_grad()
def examine(network: Network, inference: Network, text_encoder: Path) -> list[Finding]:
    """`network` in its training form, the same in inference form, and the ONNX text encoder at a path."""
    clips, ids = moving_and_still(network.config), tokenize(TEXTS)
    expected = clip_vectors(network, clips)
    texts = network.encode_text(ids).numpy()
    return [
        finite("clip vectors", expected),
        finite("text vectors", texts),
        distinct("different clips", expected),
        distinct("different texts", texts),
        equal("inference form", expected, clip_vectors(inference, clips), FOLD_TOLERANCE),
        equal("fused form", expected, clip_vectors(inference.fuse(), clips), FOLD_TOLERANCE),
        equal("ONNX text encoder", texts, onnx_vectors(text_encoder, ids), ONNX_TOLERANCE),
        *_numpy_text(network, text_encoder, ids, texts),
        _colours_found(inference, text_encoder),
    ]


def moving_and_still(config: MobileCLIPConfig) -> Tensor:
    """(2, T, 3, side, side): a still and a moving pattern of other colours, within preprocessing's range."""
    place = torch.linspace(0, 6.28, config.preprocessing.side_px)
    still = (torch.sin(place) * torch.cos(2 * place)[:, None]).expand(config.clip_frames, -1, -1)  # (T, side, side)
    shift = 0.7 * torch.arange(config.clip_frames)[:, None, None]
    moving = torch.sin(5 * place + shift) * torch.cos(3 * place)[:, None]
    colours = torch.tensor([[1.0, 0.5, -0.7], [-0.8, 1.0, 0.6]])
    return torch.stack([still, moving])[:, :, None] * colours[:, None, :, None, None]


def clip_vectors(network: Network, clips: Tensor) -> Vectors:
    """(B, E) of unit length."""
    return network.encode_clips(clips).numpy()


def onnx_vectors(path: Path, ids: NDArray[np.int64]) -> Vectors:
    """(B, 77) token ids → (B, E) by the exported text encoder."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: ids})[0])


def _numpy_text(network: Network, path: Path, ids: NDArray[np.int64], expected: Vectors) -> list[Finding]:
    """Does numpy, which runs small text encoders for a query, give the vectors of torch?"""
    if not is_small(network.config.text):
        return []
    weights = {name: tensor.numpy() for name, tensor in network.text_encoder.state_dict().items()}
    got = NumpyTextEncoder(network.config.text, weights, path).encode({ONNX_INPUT: ids})
    return [equal("numpy text encoder", expected, got, NUMPY_TOLERANCE)]


def _colours_found(network: Network, text_encoder: Path) -> Finding:
    """For each colour word, is the disc of that colour nearest? Chance is one in six."""
    texts = onnx_vectors(text_encoder, tokenize([f"a {colour} circle" for colour in _COLOURS]))
    clips = torch.cat([_disc(network.config, rgb) for rgb in _COLOURS.values()])
    pictures = np.concatenate([clip_vectors(network, clip[None]) for clip in clips])
    right = int(((texts @ pictures.T).argmax(1) == np.arange(len(_COLOURS))).sum())
    note = f"{right} of {len(_COLOURS)} coloured discs found by their word (chance: 1)"
    return Finding("words find pictures", None, note if right > 1 else f"{note}: no better than untrained weights")


def _disc(config: MobileCLIPConfig, rgb: tuple[float, float, float]) -> Tensor:
    """(1, T, 3, side, side): a disc of one colour on grey, still, normalised."""
    place = torch.linspace(-1, 1, config.preprocessing.side_px)
    inside = place[:, None] ** 2 + place[None] ** 2 < 0.16
    picture = torch.where(inside, torch.tensor(rgb)[:, None, None], torch.tensor(0.5))
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (config.preprocessing.mean, config.preprocessing.std)
    )
    return ((picture - mean) / std).expand(1, config.clip_frames, -1, -1, -1)
