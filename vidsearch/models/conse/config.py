"""The published size of ConSE's parts and how they are joined, as plain values; no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from vidsearch.models.preprocessing import Preprocessing
from vidsearch.models.registry import CONSE_KNOWS
from vidsearch.models.schema import Within, read_record

SENTENCE_DIM = 384
EMBED_DIM = SENTENCE_DIM + 1  # the last value keeps the scale of a query (`space.py`)


@dataclass(frozen=True, slots=True)
class ConseConfig:
    """`temperature` softens the classifier's probabilities before they weigh the class vectors."""

    family: ClassVar[str] = "conse"

    name: str
    preprocessing: Preprocessing
    temperature: Annotated[float, Within(0.1, 100)]
    embed_dim: Annotated[int, Within(EMBED_DIM, EMBED_DIM)] = EMBED_DIM

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)


def config_from_dict(values: Mapping[str, Any]) -> ConseConfig:
    """The inverse of `to_dict`, through JSON or not; ModelError for a field that is wrong or missing."""
    return read_record(ConseConfig, values, "network")


def summary(network: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `models info` says of a network, from the fields of its config."""
    side = network["preprocessing"]["side_px"]
    return [
        ("knows", CONSE_KNOWS),
        ("input", f"pictures of {side} x {side} pixels"),
        ("vectors", f"{network['embed_dim']} values"),
    ]


# (pixel − 127) / 128, as the classifier was trained; on real clips the middle square is worth more than all of a
# picture squeezed into one. Temperatures 2 to 3 find the same.
_PIXELS = Preprocessing(260, "centre-crop", mean=(127 / 255,) * 3, std=(128 / 255,) * 3, frames=8)

CONFIGS: dict[str, ConseConfig] = {"conse-lite2": ConseConfig("conse-lite2", _PIXELS, temperature=2.5)}
