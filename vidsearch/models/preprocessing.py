"""What turns decoded pictures into a network's input, as plain values; no torch."""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.records import Fit, FrameSpec


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """RGB in [0, 1], minus `mean`, over `std`, channel by channel; `fit` brings pictures to a square of `side_px`.

    `frames` are those of a clip; of a network for pictures, which has none of its own, those that are averaged.
    """

    side_px: int
    fit: Fit
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    frames: int = 8

    @property
    def frame_spec(self) -> FrameSpec:
        return FrameSpec(self.side_px, self.fit)
