"""Frames → vectors with torch, in the form, precision and memory layout that are fastest on the device.

Axis letters: B clips, T frames of a clip, H and W rows and columns, E the shared space. `benchmarks/encoders.py`
measures the choice made here: the fused form, channels_last, bfloat16 where the machine multiplies it fast.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsearch.errors import VidsearchError
from vidsearch.models.device import accelerators, fast_dtype, named_device
from vidsearch.models.folder import ModelFolder
from vidsearch.models.load import Network, load_network
from vidsearch.models.mobileviclip.config import MobileCLIPConfig, config_from_dict
from vidsearch.models.mobileviclip.model import MobileViCLIP

BATCH_CLIPS = 8  # run at once where each operator has its own cost of starting: a GPU, or a narrow network
WIDE = 256  # channels of the last stage from which a CPU's time goes into multiplications: between nano (192) and Tiny
_AGREE_COSINE = 0.999  # a device in its precision against the CPU in float32; a broken one is far below
log = logging.getLogger(__name__)


class TorchClipEmbedder:
    """A `ClipEmbedder` over a model folder's network.

    Device "auto" is a GPU whose vectors agree with those of the CPU, else the CPU, and `device` says why. A GPU that is
    asked for by name must be there and agree: VidsearchError.
    """

    def __init__(self, folder: ModelFolder, *, device: str = "auto", threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        config = config_from_dict(dict(folder.network))
        self.model = folder.name
        self.dim = config.embed_dim
        self.frame_spec = config.preprocessing.frame_spec
        self.frames = config.preprocessing.frames
        self._encoder, self.device = open_encoder(folder, device)
        self._batch_clips = batch_clips(self._encoder.device, config)

    def embed(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) RGB → (B, E), rows of unit length. ValueError for another shape: the caller's mistake."""
        wanted = (self.frames, self.frame_spec.side_px, self.frame_spec.side_px, 3)
        if clips.dtype != np.uint8 or clips.shape[1:] != wanted:
            raise ValueError(f"{self.model} takes uint8 clips (B, {wanted}), not {clips.dtype} {clips.shape}")
        size = self._batch_clips
        batches = [clips[first : first + size] for first in range(0, len(clips), size)]
        return np.concatenate([np.empty((0, self.dim), np.float32), *map(self._encoder.run, batches)])


class ClipEncoder:
    """A network on one device in one precision."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        self.network = load_network(folder, "fused", device, dtype, towers="image")
        for parameter in self.network.parameters():
            if parameter.ndim == 4:  # a convolution's kernel
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.device, self.dtype = device, dtype
        preprocessing = self.network.config.preprocessing
        mean, std = (torch.tensor(values, device=device) for values in (preprocessing.mean, preprocessing.std))
        self._scale = (1 / (255 * std))[:, None, None]  # pixel · scale + shift = (pixel / 255 − mean) / std
        self._shift = (-mean / std)[:, None, None]

    @torch.inference_mode()
    def run(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) → (B, E), rows of unit length."""
        writable = np.require(clips, requirements=["C", "W"])  # a read-only array is copied
        pixels = torch.from_numpy(writable).to(self.device)
        x = pixels.permute(0, 1, 4, 2, 3)  # (B, T, 3, H, W); in memory the colours of a pixel stay side by side
        x = (x * self._scale + self._shift).to(self.dtype)  # in float32, rounded once
        return encode_clips(self.network, x).cpu().numpy()

    def __str__(self) -> str:
        details = [str(self.dtype).removeprefix("torch.")]
        if self.device.type == "cpu":
            threads = torch.get_num_threads()
            details.append(f"{threads} thread{'s' if threads > 1 else ''}")
        elif self.device.type == "cuda":
            details.append(torch.cuda.get_device_name(self.device))
        return f"{self.device} ({', '.join(details)})"


def encode_clips(network: Network, clips: Tensor) -> Tensor:
    """(B, T, 3, H, W) normalised → (B, E), float32, rows of unit length.

    A network for pictures encodes each frame alone; their un-normalised vectors are averaged, then normalised.
    """
    if isinstance(network, MobileViCLIP):
        return network.encode_video(clips).float()
    frames = network.encode_image(clips.flatten(0, 1), normalize=False)  # (B·T, E)
    return F.normalize(torch.unflatten(frames, 0, clips.shape[:2]).float().mean(1), dim=-1)


def open_encoder(folder: ModelFolder, wanted: str) -> tuple[ClipEncoder, str]:
    """The network on the device wanted, and a description of what works, for people."""
    if wanted not in ("auto", "cpu"):
        encoder = _checked_encoder(folder, wanted)
        return encoder, str(encoder)
    refused = ""
    for name in accelerators() if wanted == "auto" else ():
        try:
            encoder = _checked_encoder(folder, name)
        except VidsearchError as error:
            log.warning("%s", error)
            refused += f"; not {name}: {error}"
        else:
            return encoder, str(encoder)
    cpu = torch.device("cpu")
    encoder = ClipEncoder(folder, cpu, fast_dtype(cpu))
    return encoder, f"{encoder}{refused}"


def batch_clips(device: torch.device, config: MobileCLIPConfig) -> int:
    """How many clips to run at once.

    On a CPU the activations of a wide network outgrow the caches: alone a clip takes 832 ms in mobileviclip-small, in
    company of eight 960 ms; in mobileviclip-nano it is 6.4 and 2.8 ms (one core of an AMD EPYC).
    """
    return 1 if device.type == "cpu" and config.image.widths[-1] >= WIDE else BATCH_CLIPS


def _checked_encoder(folder: ModelFolder, name: str) -> ClipEncoder:
    """The network on an accelerator whose vectors are right.

    There are GPU backends that give every picture the same vector, so two clips must get about the vectors that the
    CPU gives them. VidsearchError when they do not, or when the device is not there or cannot run the network.
    """
    device = named_device(name)
    try:
        encoder = ClipEncoder(folder, device, fast_dtype(device))
        agrees = _agrees_with_cpu(encoder, folder)
    except RuntimeError as error:  # what torch raises for all that a device cannot do, lack of memory included
        reason = str(error).strip().partition("\n")[0]
        raise VidsearchError(f"{folder.name} cannot run on {name} ({reason}); choose --device cpu") from error
    if not agrees:
        raise VidsearchError(f"{name} gives wrong vectors for {folder.name}; choose --device cpu")
    return encoder


def _agrees_with_cpu(encoder: ClipEncoder, folder: ModelFolder) -> bool:
    config = encoder.network.config
    side, frames = config.preprocessing.side_px, config.preprocessing.frames
    clips = np.random.default_rng(0).integers(0, 256, (2, frames, side, side, 3), np.uint8)
    clips[1] //= 3  # darker: another vector
    expected = ClipEncoder(folder, torch.device("cpu"), torch.float32).run(clips)
    return bool(((encoder.run(clips) * expected).sum(1) >= _AGREE_COSINE).all())
