"""Clips → vectors: the image towers of MobileCLIP and MobileViCLIP in the form that is fastest on a device.

`benchmarks/encoders.py` measures the choice made here: the fused form in channels_last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import MobileCLIPConfig
from vidsearch.models.mobileviclip.load import load_network
from vidsearch.models.pixels import normalise_pixels

BATCH_CLIPS = 8  # run at once where each operator has its own cost of starting: a GPU, or a narrow network
WIDE = 256  # channels of the last stage from which a CPU's time goes into multiplications: between nano (192) and Tiny


class MobileCLIPEncoder:
    """A `ClipEncoder` over a model folder; the text tower is not loaded."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        self.network = load_network(folder, "fused", device, dtype, towers="image")
        for parameter in self.network.parameters():
            if parameter.ndim == 4:  # a convolution's kernel
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if device.type == "cuda":
            _use_kernels(self.network)
        self.batch_clips = batch_clips(device, self.network.config)
        self._dtype = dtype

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 → (B, E) float32, rows of unit length."""
        preprocessing = self.network.config.preprocessing
        x = normalise_pixels(pixels, preprocessing.mean, preprocessing.std)  # float32, rounded once by the cast
        return self.network.encode_clips(x.to(self._dtype))


def _use_kernels(network: nn.Module) -> None:
    try:
        from vidsearch.models.mobileviclip.gpu_kernels import use_kernels
    except ImportError:  # Triton comes with torch on Linux alone
        return
    use_kernels(network)


def batch_clips(device: torch.device, config: MobileCLIPConfig) -> int:
    """How many clips to run at once.

    On a CPU the activations of a wide network outgrow the caches: alone a clip takes 832 ms in mobileviclip-small, in
    a batch of eight 960 ms; in mobileviclip-nano it is 6.4 and 2.8 ms (one core of an AMD EPYC).
    """
    return 1 if device.type == "cpu" and config.image.widths[-1] >= WIDE else BATCH_CLIPS
