"""Tensors → a safetensors file, one after the other: a model is converted without ever being in memory as a whole.

The library's own `save_file` takes all tensors at once and copies each of them into bytes first. Format: the length of
the header (8 bytes, little-endian), the header as JSON, the bytes of the tensors in the header's order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from vidsearch.errors import ModelError

_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT_BYTES = 8


def save_streamed(
    tensors: Mapping[str, Tensor],
    path: Path,
    stored_as: Callable[[str, Tensor], torch.dtype],
    *,
    file_of: Callable[[str], Path],
) -> None:
    """Write float tensors to `path`, each cast to the dtype that `stored_as` gives for its name and value.

    One tensor at a time is in memory, the rest stays where it is mapped from. ModelError names a tensor with a value
    that is not finite, or no longer is in the narrower dtype, and the file that it came from by `file_of`. Raises
    OSError where `path` cannot be written.
    """
    dtypes = {key: stored_as(key, tensor) for key, tensor in tensors.items()}
    order = sorted(tensors, key=lambda key: -dtypes[key].itemsize)  # wide ones first, so that each is aligned
    with path.open("wb") as file:
        file.write(_header({key: (dtypes[key], tuple(tensors[key].shape)) for key in order}))
        for key in order:
            cast = tensors[key].to(device="cpu", dtype=dtypes[key]).contiguous()
            if not bool(torch.isfinite(cast).all()):
                raise ModelError(_not_finite(file_of(key), key, tensors[key], dtypes[key]))
            cast.flatten().view(torch.uint8).numpy().tofile(file)


def _header(entries: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> bytes:
    header, start = {}, 0
    for key, (dtype, shape) in entries.items():
        end = start + prod(shape) * dtype.itemsize
        header[key] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return len(text).to_bytes(8, "little") + text


def _not_finite(file: Path, key: str, tensor: Tensor, dtype: torch.dtype) -> str:
    if bool(torch.isfinite(tensor).all()):
        kind = str(dtype).removeprefix("torch.")
        return f"{key} of {file} has values that {kind} cannot hold; store the model as float32"
    return f"{file} is damaged: {key} has values that are not finite; get the file again"
