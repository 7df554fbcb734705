"""What turns decoded pictures into a network's input, as plain values; no torch."""

from __future__ import annotations

from typing import Annotated

from vidsearch.frozen import dataclass
from vidsearch.models.schema import Count, SidePx, Within
from vidsearch.records import Fit, FrameSpec

Mean = Annotated[float, Within(-100, 100)]
Deviation = Annotated[float, Within(1e-6, 1e6)]
MOST_PIXELS = 1 << 24  # of a clip, all frames together; 16 frames of 1024 px


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """RGB in [0, 1], minus `mean`, over `std`, channel by channel; `fit` brings pictures to a square of `side_px`.

    `frames` are those of a clip; of a network for pictures, which has none of its own, those that are averaged.
    """

    side_px: SidePx
    fit: Fit
    mean: tuple[Mean, Mean, Mean]
    std: tuple[Deviation, Deviation, Deviation]
    frames: Count = 8

    def __post_init__(self) -> None:
        if self.side_px**2 * self.frames > MOST_PIXELS:
            raise ValueError(f"clips of {self.frames} frames of {self.side_px} px are larger than any model takes")

    @property
    def frame_spec(self) -> FrameSpec:
        return FrameSpec(self.side_px, self.fit)
