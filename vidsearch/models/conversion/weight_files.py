"""Weights in one file or in several → one mapping from name to tensor, memory-mapped where the file allows it.

model.safetensors               one file; .bin, .pt and .pth likewise
model.safetensors.index.json    names the shards that lie beside it: {"weight_map": {key: file}}
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import SUFFIXES, Tensors, read_tensors
from vidsearch.models.json_files import read_object
from vidsearch.models.keys import listed

_INDEX = ".index.json"
_PLAIN_NAME = re.compile(r"[\w-][\w.-]{1,200}", re.ASCII)  # no separator of any system, no "..", nothing hidden
_SHARD = re.compile(r"-\d+-of-(\d+)\.\w+$")
# What the Trainer of transformers leaves beside the weights: pickles of its own state, and no weights in them.
_NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|rng_state\w*)\.(bin|pt|pth)")
_DEPTH = 4  # folders below the one given; the hub's cache has three


@dataclass(frozen=True, slots=True)
class WeightSet:
    """The tensors of one state dict. `path` is what to call it: its file, or the index of its shards."""

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor]


def find_weights(folder: Path) -> list[WeightSet]:
    """All weights in a folder and the folders in it. ModelError for a file that is damaged or hostile, or for none."""
    found = [weights for place in _folders(folder) for weights in _weights_in(place)]
    if not found:
        raise ModelError(f"{folder} holds no weight file ({', '.join(SUFFIXES)}); give the folder with the weights")
    return found


def _folders(folder: Path) -> Iterator[Path]:
    """The folder and those in it, without hidden ones; links to folders are not followed."""
    for place, below, _ in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < _DEPTH else []
        yield Path(place)


def _weights_in(folder: Path) -> Iterator[WeightSet]:
    sharded: set[Path] = set()
    for index in sorted(folder.glob(f"*{_INDEX}")):
        weights = _read_shards(index)
        sharded.update(weights.files)
        yield weights
    for path in sorted(folder.iterdir()):
        if path not in sharded and _is_weight_file(path):
            if (found := _SHARD.search(path.name)) and int(found[1]) > 1:
                raise ModelError(f"{path} is one of {int(found[1])} shards and their index is missing; get *{_INDEX}")
            yield WeightSet(path, (path,), read_tensors(path))


def _is_weight_file(path: Path) -> bool:
    """By its name; a broken link counts, so that reading it says what is wrong, and a pipe does not."""
    weights = path.suffix in SUFFIXES and not _NO_WEIGHTS.fullmatch(path.name) and not path.name.startswith(".")
    return weights and (path.is_file() or (path.is_symlink() and not path.exists()))


def _read_shards(index: Path) -> WeightSet:
    """The shards that an index names, each key from the shard where the index has it. ModelError where they differ."""
    places = _weight_map(index)
    files = [index.parent / name for name in sorted(set(places.values()))]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(f"{index} names shards that are missing ({listed(missing)}); get them from the publisher")
    tensors: Tensors = {}
    for file in files:
        held = read_tensors(file)
        strange = sorted(key for key in held if places.get(key) != file.name)
        if strange:
            raise ModelError(
                f"{file} holds keys that {index.name} does not place there ({listed(strange)}); get both again"
            )
        tensors.update(held)
    absent = sorted(set(places) - set(tensors))
    if absent:
        raise ModelError(f"{index} names keys that no shard holds ({listed(absent)}); get its shards again")
    return WeightSet(index, tuple(files), tensors)


def _weight_map(index: Path) -> dict[str, str]:
    """Key → name of its shard; every name is that of a weight file in the folder of the index."""
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index} has no weight_map, so it is not an index of shards; get the file again")
    strange = sorted({repr(name) for name in places.values() if not _is_plain_name(name)})
    if strange:
        raise ModelError(
            f"{index} names files that are not weight files beside it ({listed(strange)}); get the file again"
        )
    return places


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and _PLAIN_NAME.fullmatch(name) is not None and Path(name).suffix in SUFFIXES
