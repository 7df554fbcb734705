"""Exports of a model: their names, where they lie, how well one must agree with torch, and the card beside each.

The card, `FILE.json`, states the contract of the file for whoever writes an app, and the vectors that torch gives for
four drawn clips or texts, so that a machine without torch can prove the file as well. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vidsearch.errors import ModelError
from vidsearch.files import sha256
from vidsearch.models.json_files import read_object
from vidsearch.models.schema import read_record

TowerName = Literal["clip", "text"]
ExportPrecision = Literal["fp32", "fp16", "int8-weights"]
Vectors = NDArray[np.float32]
CARD_FORMAT = 1
EXPORTS = "exports"  # the folder beside installed models in which `index --runtime onnx` looks
CARD_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Level:
    """From which agreement with torch in float32 a file is kept."""

    cosine: float
    centred: float  # after taking off the mean vector: what two clips do not have in common


LEVELS: dict[ExportPrecision, Level] = {
    "fp32": Level(0.99999, 0.99999),
    "fp16": Level(0.9999, 0.9999),
    "int8-weights": Level(0.998, 0.995),
}


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How far vectors agree with torch's: the lowest cosines over some examples, and the largest difference."""

    cosine: float
    centred: float
    largest_difference: float
    examples: int

    def reaches(self, level: Level) -> bool:
        """False also for vectors that are not finite."""
        return self.cosine >= level.cosine and self.centred >= level.centred


def fidelity(got: Vectors, expected: Vectors) -> Fidelity:
    """Of two (N, E). Another shape, and values that are not finite, agree with nothing."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return Fidelity(0.0, 0.0, float("inf"), len(expected))
    wide, exact = got.astype(np.float64), expected.astype(np.float64)
    mean = exact.mean(0)
    return Fidelity(
        cosine=_lowest_cosine(wide, exact),
        centred=_lowest_cosine(wide - mean, exact - mean),
        largest_difference=float(np.abs(wide - exact).max()),
        examples=len(expected),
    )


def _lowest_cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(lengths, 1e-30)).min())


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one exported file."""

    open_fields: ClassVar[bool] = True

    format: int
    model: str
    tower: TowerName
    target: str
    precision: ExportPrecision
    file: str
    sha256: str
    size_bytes: int
    weights_sha256: str  # of the model.safetensors that it was made from
    contract: Mapping[str, Any]
    licence: str
    versions: Mapping[str, str]
    ran_with: str
    conversion_s: float
    fidelity: Mapping[str, float]
    expected: tuple[tuple[float, ...], ...]  # torch's vectors of the examples

    def __post_init__(self) -> None:
        if len({len(row) for row in self.expected}) != 1:
            raise ValueError("the expected vectors are none, or of several lengths")

    def write(self, path: Path) -> None:
        """As JSON beside the exported file `path`."""
        card_path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def export_name(model: str, tower: TowerName, precision: ExportPrecision, suffix: str) -> str:
    """`mobileviclip-nano-clip-fp32.onnx`."""
    return f"{model}-{tower}-{precision}{suffix}"


def card_path(path: Path) -> Path:
    """The card of an exported file or package."""
    return path.with_name(path.name + CARD_SUFFIX)


def read_card(path: Path) -> Card:
    """The card beside an exported file. ModelError where there is none, or it is damaged."""
    advice = "export the model again: vidsearch models export NAME --to TARGET"
    card = card_path(path)
    fields = read_object(card, advice)
    if fields.get("format") != CARD_FORMAT:
        raise ModelError(f"{card} is not a card that this vidsearch knows; {advice}")
    try:
        return read_record(Card, fields, "")
    except ModelError as error:
        raise ModelError(f"{card}: {error}; {advice}") from error


def exports_dir(models_dir: Path, model: str) -> Path:
    """Where exports of a model are kept unless another folder is named."""
    return models_dir / EXPORTS / model


def content_sha256(path: Path) -> str:
    """Of a file; of a folder, of the hashes and names of all its files but those that are new each time."""
    if path.is_file():
        return sha256(path)
    import hashlib

    listed = [f"{sha256(file)} {file.relative_to(path)}\n" for file in sorted(path.rglob("*")) if file.is_file()]
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def content_bytes(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
