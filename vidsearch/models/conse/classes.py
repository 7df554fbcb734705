"""What comes with vidsearch for the model: the classes in words, the card, the levels of its scores. No torch.

The classes of the image classifier are WordNet's, in the order of the network.

`make_classes.py` writes the file; WordNet's licence lies beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ASSETS = Path(__file__).with_name("assets")
ASSET = _ASSETS / "imagenet_classes.tsv"
CARD = _ASSETS / "MODEL_CARD.md"
CLASS_VECTORS = _ASSETS / "class_vectors.safetensors"  # vidsearch.models.conversion.class_vectors
SCORE_LEVELS = _ASSETS / "score_levels.json"  # benchmarks/real_clips.py --write-levels
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class ImageClass:
    """One synset of WordNet 3.0, as in n02123045: tabby, tabby cat; a cat with a grey or tawny coat …"""

    wnid: str
    lemmas: str  # all of them, separated by ", "
    definition: str

    @property
    def name(self) -> str:
        """The first lemma."""
        return self.lemmas.partition(", ")[0]


# What stands for a class is the mean of the sentence vectors of these phrasings: on real clips better than each alone.
PHRASINGS: tuple[Callable[[ImageClass], str], ...] = (
    lambda item: item.name,
    lambda item: item.lemmas,
    lambda item: f"{item.name}, {item.definition}",
)


def read_classes() -> list[ImageClass]:
    """The 1,000 classes, in the order of the network's scores."""
    return [ImageClass(*line.split("\t")) for line in ASSET.read_text(encoding="utf-8").splitlines()]


def read_score_levels() -> dict[str, Any]:
    """From which score on a hit is high, medium or low, measured on real clips, and how."""
    levels: dict[str, Any] = json.loads(SCORE_LEVELS.read_text(encoding="utf-8"))
    return levels
