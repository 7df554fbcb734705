"""Do clips look to a network as they looked in training? Batch norms remember, and no label is needed.

At every batch norm of the image tower, in its training form, the mean and the variance of what comes in are compared
with the stored running ones. Settings as in training give small differences all along; a wrong one shows at the first
batch norm behind it. It tells the normalisation of pixels and what is done along time; it does not tell where the
temporal encoding enters, nor joint from per-frame attention. If training left the statistics alone, it tells nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidsearch.errors import VidsearchError
from vidsearch.models.folder import ModelFolder
from vidsearch.models.load import load_network
from vidsearch.models.pixels import normalise_pixels

_FAMILIES = ("mobileclip", "mobileviclip")
_BATCH = 8
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class NormFit:
    """How far what enters one batch norm is from what it remembers, averaged over channels.

    `mean`: |difference of the means| in stored standard deviations; `variance`: |logarithm of the variances' ratio|.
    """

    name: str
    part: str  # the stem, or the number of the stage
    mean: float
    variance: float


def norm_fits(folder: ModelFolder, clips: Sequence[NDArray[np.uint8]]) -> list[NormFit]:
    """Of every batch norm of the image tower in the order in which they run; clips (T, S, S, 3) uint8, 30 or more.

    VidsearchError for a model of a family that has no such tower.
    """
    if folder.family.name not in _FAMILIES:
        raise VidsearchError(
            f"{folder.name} is not of a family whose batch norms can be asked ({', '.join(_FAMILIES)})."
        )
    network = load_network(folder, "train", towers="image")
    sums: dict[str, _Sums] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            sums[name] = _Sums(module)
    preprocessing = folder.embedding.preprocessing
    with torch.inference_mode():
        for first in range(0, len(clips), _BATCH):
            pixels = torch.from_numpy(np.stack(clips[first : first + _BATCH]))
            network.encode_clips(normalise_pixels(pixels, preprocessing.mean, preprocessing.std))
    return [own.fit(name) for name, own in sorted(sums.items(), key=lambda item: item[1].order) if own.count]


class _Sums:
    """First and second moments of what enters one batch norm."""

    _calls = 0

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self._norm = norm
        self.order = 0
        self.count = 0
        self._sum = torch.zeros(norm.num_features, dtype=torch.float64)
        self._squares = torch.zeros(norm.num_features, dtype=torch.float64)
        norm.register_forward_pre_hook(self._see)

    def _see(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if not self.count:
            _Sums._calls += 1
            self.order = _Sums._calls
        x = inputs[0].detach().double()
        dims = [0, *range(2, x.ndim)]
        self._sum += x.sum(dims)
        self._squares += x.square().sum(dims)
        self.count += x.numel() // x.shape[1]

    def fit(self, name: str) -> NormFit:
        assert self._norm.running_mean is not None and self._norm.running_var is not None  # ours always keep statistics
        mean = self._sum / self.count
        variance = (self._squares / self.count - mean.square()).clamp_min(_TINY)
        stored = self._norm.running_var.double().clamp_min(_TINY)
        shift = (mean - self._norm.running_mean.double()).abs() / stored.sqrt()
        ratio = (variance / stored).log().abs()
        return NormFit(name, _part(name), float(shift.mean()), float(ratio.mean()))


def _part(name: str) -> str:
    """`vision_encoder.network.4.0.…` → "stage 3"; what is not in `network` is the stem or the end."""
    if "patch_embed." in name:
        return "stem"
    if ".network." not in name:
        return "end"
    return f"stage {int(name.split('.network.')[1].split('.')[0]) // 2 + 1}"
