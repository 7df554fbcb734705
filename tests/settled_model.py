"""The bundled nano as if it had been trained with another normalisation of pixels: about the same function of them.

Nano was trained with x = (p − m) / s. With x' = (p − m') / s' its first convolutions see x = a x' + b, where a = s' / s
and b = (m' − m) / s for each colour: their kernels are scaled by a, and what b adds goes into the batch norm behind
them. Then all batch norms get the statistics of clips under the new normalisation, as training would have left them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidsearch.embedding.variants import MEAN_STD
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.hashes import write_hashes
from vidsearch.models.load import load_network
from vidsearch.models.pixels import normalise_pixels

STEM = "vision_encoder.patch_embed.0."


def make_settled_model(models_dir: Path, mean_std: str, clips: np.ndarray, name: str = "mobileviclip-tiny") -> Path:
    """A model folder of that name whose right setting is `mean_std`, and whose config says otherwise: nano's own.

    `clips` (N, 8, 64, 64, 3) uint8 set the statistics.
    """
    folder = models_dir / name
    shutil.copytree(BUNDLED_DIR / "mobileviclip-nano", folder)
    config = json.loads((folder / "config.json").read_text())
    own = config["network"]["preprocessing"]
    mean, std = (torch.tensor(values) for values in MEAN_STD[mean_std])
    scale = std / torch.tensor(own["std"])
    offset = (mean - torch.tensor(own["mean"])) / torch.tensor(own["std"])
    tensors = load_file(folder / "model.safetensors")
    for key in [key for key in tensors if key.startswith(STEM) and key.endswith("conv.weight")]:
        kernel = tensors[key]  # (out, 3, k, k)
        running = key.replace("conv.weight", "bn.running_mean")
        tensors[running] = tensors[running] - (kernel * offset[:, None, None]).sum((1, 2, 3))
        tensors[key] = (kernel * scale[:, None, None]).contiguous()
    _save(folder, tensors)
    statistics = _statistics(folder, normalise_pixels(torch.from_numpy(clips), *MEAN_STD[mean_std]))
    config["name"] = name
    (folder / "config.json").write_text(json.dumps(config))
    _save(folder, {**tensors, **statistics})
    return folder


def _save(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / "model.safetensors")
    write_hashes(folder)


def _statistics(folder: Path, clips: Tensor) -> dict[str, Tensor]:
    """What all batch norms of the image tower see of clips: names and values of their buffers."""
    network = load_network(open_folder(folder), "train", towers="image")
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for norm in norms.values():
        norm.momentum = 1.0  # the statistics of the last batch are all that is remembered
        norm.train()
    with torch.no_grad():
        network.encode_clips(clips)
    return {
        f"{name}.{kind}": getattr(norm, kind).clone()
        for name, norm in norms.items()
        for kind in ("running_mean", "running_var")
    }
