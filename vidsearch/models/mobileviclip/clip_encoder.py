"""Clips → vectors: the image towers of MobileCLIP and MobileViCLIP in the form that is fastest on a device.

`benchmarks/encoders.py` measures the choice made here: the fused form in channels_last.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor

from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import MobileCLIPConfig
from vidsearch.models.mobileviclip.load import Network, load_network
from vidsearch.models.pixels import normalise_pixels

BATCH_CLIPS = 8  # run at once where each operator has its own cost of starting: a GPU, or a narrow network
LARGE_BATCH_CLIPS = 32  # fills the processors of a large GPU
LARGE_BATCH_ROOM = 8 << 30  # bytes free; the widest network takes half of it in float32
WIDE = 256  # channels of the last stage from which a CPU's time goes into multiplications: between nano (192) and Tiny
log = logging.getLogger(__name__)


class MobileCLIPEncoder:
    """A `ClipEncoder` over a model folder; the text tower is not loaded."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        self._take(load_network(folder, "fused", device, dtype, towers="image"))

    @classmethod
    def of_network(cls, network: Network) -> Self:
        """Over a fused network on its device, whose layers are replaced and laid out anew."""
        encoder = cls.__new__(cls)
        encoder._take(network)
        return encoder

    def _take(self, network: Network) -> None:
        first = next(network.parameters())
        for parameter in network.parameters():
            if parameter.ndim == 4:  # a convolution's kernel
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if first.device.type == "cuda":
            _use_kernels(network, first.device)
        self.network, self._dtype = network, first.dtype
        free_bytes = torch.cuda.mem_get_info(first.device)[0] if first.device.type == "cuda" else 0
        self.batch_clips = batch_clips(first.device, network.config, free_bytes)

    def encode(self, pixels: Tensor) -> Tensor:
        """(B, T, H, W, 3) uint8 → (B, E) float32, rows of unit length."""
        preprocessing = self.network.config.preprocessing
        # Triton's kernels run on the current device: it must be the one that the pixels are on.
        with torch.cuda.device(pixels.device) if pixels.device.type == "cuda" else nullcontext():
            x = normalise_pixels(pixels, preprocessing.mean, preprocessing.std)  # float32, rounded once by the cast
            return self.network.encode_clips(x.to(self._dtype))


def _use_kernels(network: Network, device: torch.device) -> None:
    """Replace layers by kernels, if they run here; else the libraries' operators do the same, more slowly."""
    try:
        from vidsearch.models.mobileviclip.gpu_kernels import try_out, use_kernels

        try_out(device)
    except ImportError:  # Triton comes with torch on Linux alone
        return
    except Exception as error:  # of Triton, which needs a C compiler once
        log.warning("encoding without kernels of its own, more slowly: %s", error)
        return
    use_kernels(network)


def batch_clips(device: torch.device, config: MobileCLIPConfig, free_bytes: int = 0) -> int:
    """How many clips to run at once; `free_bytes` is the free memory of a CUDA device.

    On a CPU the activations of a wide network outgrow the caches: alone a clip takes 832 ms in mobileviclip-small, in
    a batch of eight 960 ms; in mobileviclip-nano it is 6.4 and 2.8 ms (one core of an AMD EPYC).
    """
    if device.type == "cuda" and free_bytes >= LARGE_BATCH_ROOM:
        return LARGE_BATCH_CLIPS
    return 1 if device.type == "cpu" and config.image.widths[-1] >= WIDE else BATCH_CLIPS
