"""Does ConSE do what it should? Its forms against each other, its class names, and pictures that are drawn here.

Unlike a network that may have been trained anew, its weights are fixed, so that three drawn things must be found by
their words, and every sampled class by its name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from torch import Tensor

from vidsearch.models.conse.classes import read_classes
from vidsearch.models.conse.efficientnet_lite import fold_batch_norms_
from vidsearch.models.conse.load import load_network
from vidsearch.models.conse.model import Conse
from vidsearch.models.conse.query_tokenizer import open_tokenizer, padded
from vidsearch.models.findings import Finding
from vidsearch.models.folder import ModelFolder
from vidsearch.models.pixels import normalise_pixels
from vidsearch.models.selftest.vectors import Vectors, distinct, equal, finite

_FOLD_TOLERANCE = 1e-4  # float32 sums in another order, over sixty layers
_EVERY = 25  # classes of which one is looked for by its name
_KINDS = {  # what people ask for → the classes of that kind
    "a dog": {*range(151, 269)},
    "a cat": {*range(281, 286)},
    "a bird": {*range(7, 25), *range(80, 101), *range(127, 147)},
    "a guitar": {402, 546},
    "an airplane": {404},
    "a truck": {555, 569, 675, 717, 864, 867},
}


def self_test(folder: ModelFolder) -> list[Finding]:
    """Load a model and examine it. Raises ModelError where it cannot be loaded."""
    return examine(load_network(folder, folded=False), folder.text_encoder, open_tokenizer(folder.tokenizer))


@torch.no_grad()
def examine(network: Conse, text_encoder: Path, tokenizer: Tokenizer) -> list[Finding]:
    """`network` with its batch norms, which are folded here, and the ONNX text encoder at a path."""
    drawings = {"a crossword puzzle": _crossword, "a honeycomb": _honeycomb, "a clock with two hands": _clock}
    side = network.config.preprocessing.side_px
    clips = _clips(network, [draw(side) for draw in drawings.values()])
    expected = network.encode_clips(clips).numpy()
    fold_batch_norms_(network.image_classifier)
    texts = onnx_vectors(text_encoder, tokenizer, list(drawings))
    return [
        finite("clip vectors", expected),
        finite("text vectors", texts),
        distinct("different clips", expected),
        distinct("different texts", texts),
        equal("folded form", expected, network.encode_clips(clips).numpy(), _FOLD_TOLERANCE),
        _names_found(network, text_encoder, tokenizer),
        _kinds_found(network, text_encoder, tokenizer),
        _drawings_found(texts @ expected.T),
    ]


def onnx_vectors(path: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> Vectors:
    """(B, E) by the exported text encoder."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(padded(tokenizer, texts)))[0])


def _nearest_class(network: Conse, text_encoder: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    vectors = onnx_vectors(text_encoder, tokenizer, texts)[:, :-1]
    classes = torch.nn.functional.normalize(network.class_vectors, dim=-1).numpy()
    return [int(index) for index in (vectors @ classes.T).argmax(1)]


def _names_found(network: Conse, text_encoder: Path, tokenizer: Tokenizer) -> Finding:
    wanted = list(range(0, len(network.class_vectors), _EVERY))
    classes = read_classes()
    texts = [f"a photo of a {classes[index].lemmas}" for index in wanted]
    found = _nearest_class(network, text_encoder, tokenizer, texts)
    right = sum(got == index for got, index in zip(found, wanted, strict=True))
    return Finding("class names", right == len(wanted), f"{right} of {len(wanted)} nearest to their own class")


def _kinds_found(network: Conse, text_encoder: Path, tokenizer: Tokenizer) -> Finding:
    found = _nearest_class(network, text_encoder, tokenizer, list(_KINDS))
    wrong = [kind for index, (kind, wanted) in zip(found, _KINDS.items(), strict=True) if index not in wanted]
    note = f"wrong for {', '.join(wrong)}" if wrong else f"{', '.join(_KINDS)} nearest to a class of that kind"
    return Finding("kinds of things", not wrong, note)


def _drawings_found(cosines: Vectors) -> Finding:
    """(N, N) queries against drawings, in the same order."""
    right = int((cosines.argmax(1) == np.arange(len(cosines))).sum())
    return Finding("words find drawings", right == len(cosines), f"{right} of {len(cosines)} drawn things found")


def _clips(network: Conse, pictures: Sequence[Tensor]) -> Tensor:
    """(side, side, 3) each → (B, 1, 3, side, side) normalised: clips of one frame."""
    preprocessing = network.config.preprocessing
    pixels = torch.stack(list(pictures)).to(torch.uint8)[:, None]
    return normalise_pixels(pixels, preprocessing.mean, preprocessing.std)


def _grid(side: int) -> tuple[Tensor, Tensor]:
    """Row and column of each pixel of a square, as if its side were 260."""
    place = torch.arange(side) * (260 / side)
    y, x = torch.meshgrid(place, place, indexing="ij")
    return y, x


def _painted(where: Tensor, colour: Sequence[float], elsewhere: Tensor) -> Tensor:
    """(side, side) → (side, side, 3)."""
    return torch.where(where[..., None], torch.tensor(colour), elsewhere)


def _crossword(side: int) -> Tensor:
    """Ten by ten squares with black lines, every fourth one black."""
    y, x = _grid(side)
    row, column = (y // 26).long(), (x // 26).long()
    black = ((7 * row + 3 * column + row * column) % 4 == 0) | (x % 26 < 2) | (y % 26 < 2)
    return _painted(black, (20.0, 20.0, 20.0), torch.tensor((245.0, 245.0, 240.0)))


def _honeycomb(side: int) -> Tensor:
    """Six-sided cells: dark where one centre is clearly nearest, wax where two are about as near."""
    y, x = _grid(side)
    radius, height = 22.0, 22.0 * math.sqrt(3)
    centres = torch.tensor([(1.5 * radius * i, height * (j + i % 2 / 2)) for i in range(-1, 9) for j in range(-1, 9)])
    apart = (torch.stack((x, y), -1)[:, :, None] - centres).norm(dim=-1)  # (side, side, cells)
    first, second = apart.topk(2, largest=False).values.unbind(-1)
    return _painted(second - first < 6, (225.0, 160.0, 40.0), torch.tensor((90.0, 45.0, 5.0)))


def _clock(side: int) -> Tensor:
    """A round white face with a rim, sixty marks and two hands."""
    y, x = (axis - 130 for axis in _grid(side))
    radius = (x**2 + y**2).sqrt()
    picture = _painted(radius < 115, (40.0, 30.0, 25.0), torch.full((3,), 110.0))
    picture = _painted(radius < 105, (250.0, 248.0, 240.0), picture)
    for minute in range(60):
        angle, size = minute * math.pi / 30, 1.5 if minute % 5 else 5
        mark = ((x - 95 * math.sin(angle)) ** 2 + (y + 95 * math.cos(angle)) ** 2).sqrt() < size
        picture = _painted(mark, (20.0, 20.0, 20.0), picture)
    for angle, length, width in ((-0.9, 55, 4.0), (1.05, 85, 2.5)):
        along, across = x * math.sin(angle) - y * math.cos(angle), x * math.cos(angle) + y * math.sin(angle)
        hand = (along > -12) & (along < length) & (across.abs() < width)
        picture = _painted(hand, (10.0, 10.0, 10.0), picture)
    return picture
