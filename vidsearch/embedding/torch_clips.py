"""Frames → vectors with torch, on the device and in the precision that are fastest here.

Axis letters: B clips, T frames of a clip, H and W rows and columns, E the shared space. The network, its form and its
preprocessing are the family's (`models/families.py`); `benchmarks/encoders.py` measures the precision chosen here:
bfloat16 where the machine multiplies it fast.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.models.device import accelerators, fast_dtype, named_device
from vidsearch.models.folder import ModelFolder
from vidsearch.records import Precision, Runtime

AGREE_COSINE = 0.999  # a device in its precision against the CPU in float32; a broken one is far below
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
log = logging.getLogger(__name__)


class TorchClipEmbedder:
    """A `ClipEmbedder` over a model folder's network.

    Device "auto" is a GPU whose vectors agree with those of the CPU, else the CPU, and `device` says why. A GPU that is
    asked for by name must be there and agree: VidsearchError. `precision` is that of the CPU; None: the one in which it
    multiplies fastest.
    """

    def __init__(
        self,
        folder: ModelFolder,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        config = folder.embedding
        self.model = folder.name
        self.dim = config.embed_dim
        self.frame_spec = config.preprocessing.frame_spec
        self.frames = config.preprocessing.frames
        self._encoder, self.device = open_encoder(folder, device, precision)

    @property
    def batch_clips(self) -> int:
        """How many clips are run at once."""
        return self._encoder.batch_clips

    @property
    def runtime(self) -> Runtime:
        """torch, in the precision of the network."""
        return Runtime("torch", next(name for name, dtype in DTYPES.items() if dtype is self._encoder.dtype))

    def embed(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) RGB → (B, E), rows of unit length. ValueError for another shape: the caller's mistake.

        ModelError for vectors that are not finite: broken weights, or a device that fails.
        """
        wanted = (self.frames, self.frame_spec.side_px, self.frame_spec.side_px, 3)
        if clips.dtype != np.uint8 or clips.shape[1:] != wanted:
            raise ValueError(f"{self.model} takes uint8 clips (B, {wanted}), not {clips.dtype} {clips.shape}")
        size = self.batch_clips
        batches = [clips[first : first + size] for first in range(0, len(clips), size)]
        vectors = np.concatenate([np.empty((0, self.dim), np.float32), *map(self._encoder.run, batches)])
        if not np.isfinite(vectors).all():
            raise ModelError(f"{self.model} gives vectors that are not finite on {self.device}; install it again")
        return vectors


class PlacedEncoder:
    """The clip encoder of a model folder's family on one device in one precision."""

    def __init__(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> None:
        self._encoder = folder.family.clip_encoder(folder, device, dtype)
        self.batch_clips = self._encoder.batch_clips
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def run(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) → (B, E), rows of unit length."""
        writable = np.require(clips, requirements=["C", "W"])  # a read-only array is copied
        return self._encoder.encode(torch.from_numpy(writable).to(self.device)).cpu().numpy()

    def __str__(self) -> str:
        details = [str(self.dtype).removeprefix("torch.")]
        if self.device.type == "cpu":
            threads = torch.get_num_threads()
            details.append(f"{threads} thread{'s' if threads > 1 else ''}")
        elif self.device.type == "cuda":
            details.append(torch.cuda.get_device_name(self.device))
        return f"{self.device} ({', '.join(details)})"


def open_encoder(folder: ModelFolder, wanted: str, precision: Precision | None = None) -> tuple[PlacedEncoder, str]:
    """The network on the device wanted, and a description of what works, for people. `precision`: on the CPU."""
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
    encoder = PlacedEncoder(folder, cpu, fast_dtype(cpu) if precision is None else DTYPES[precision])
    return encoder, f"{encoder}{refused}"


def _checked_encoder(folder: ModelFolder, name: str) -> PlacedEncoder:
    """The network on an accelerator whose vectors are right.

    There are GPU backends that give every picture the same vector, so two clips must get about the vectors that the
    CPU gives them. VidsearchError when they do not, or when the device is not there or cannot run the network.
    """
    device = named_device(name)
    try:
        encoder = PlacedEncoder(folder, device, fast_dtype(device))
        agrees = _agrees_with_cpu(encoder, folder)
    except RuntimeError as error:  # what torch raises for all that a device cannot do, lack of memory included
        reason = str(error).strip().partition("\n")[0]
        raise VidsearchError(f"{folder.name} cannot run on {name} ({reason}); choose --device cpu") from error
    if not agrees:
        raise VidsearchError(f"{name} gives wrong vectors for {folder.name}; choose --device cpu")
    return encoder


def noise_clips(folder: ModelFolder, count: int) -> NDArray[np.uint8]:
    """Clips (count, T, H, W, 3) of noise, of the shape that the model takes, the same on every call."""
    preprocessing = folder.embedding.preprocessing
    shape = (count, preprocessing.frames, preprocessing.side_px, preprocessing.side_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _agrees_with_cpu(encoder: PlacedEncoder, folder: ModelFolder) -> bool:
    clips = noise_clips(folder, 2)
    clips[1] //= 3  # darker: another vector
    expected = PlacedEncoder(folder, torch.device("cpu"), torch.float32).run(clips)
    return bool(((encoder.run(clips) * expected).sum(1) >= AGREE_COSINE).all())
