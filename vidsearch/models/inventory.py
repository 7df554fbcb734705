"""Which models are on this machine, and what their files say of them. No torch: headers are enough."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from filelock import FileLock

from vidsearch.errors import ModelError
from vidsearch.files import remove_folder
from vidsearch.models.folder import BUNDLED_DIR, TEXT_FILE, ModelFolder, find_model, open_folder
from vidsearch.models.registry import KNOWN_MODELS, KnownModel, known_model

State = Literal["bundled", "installed", "damaged", "available"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A known model and whether it is here; `size_bytes` on this disk, or of the published files."""

    known: KnownModel
    state: State
    size_bytes: int
    path: Path | None
    problem: str | None = None


def entries(models_dir: Path) -> list[ModelEntry]:
    """One for each known model, in the order of the registry."""
    return [_entry(known, models_dir) for known in KNOWN_MODELS.values()]


def _entry(known: KnownModel, models_dir: Path) -> ModelEntry:
    bundled, installed = BUNDLED_DIR / known.name, models_dir / known.name
    path = bundled if bundled.is_dir() else installed
    if not path.is_dir():
        return ModelEntry(known, "available", known.size_bytes, None)
    try:
        open_folder(path)
    except ModelError as error:
        return ModelEntry(known, "damaged", size_of(path), path, str(error))
    return ModelEntry(known, "bundled" if path == bundled else "installed", size_of(path), path)


def size_of(folder: Path) -> int:
    """Bytes of the files of a model folder."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def parameters(folder: ModelFolder) -> dict[str, int]:
    """Part of the network → how many numbers its tensors hold; statistics of norms count too."""
    from safetensors import SafetensorError, safe_open

    towers = folder.family.towers
    counted: dict[str, int] = {}
    try:
        with safe_open(folder.weights, framework="numpy") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - no dict
                names = key.split(".")
                part = towers.get(".".join(names[:2])) or towers.get(names[0], "other")
                counted[part] = counted.get(part, 0) + prod(tensors.get_slice(key).get_shape())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{folder.weights} is damaged ({error}); install {folder.name} again") from error
    return counted


def exports(folder: ModelFolder) -> dict[str, int]:
    """Name → bytes of the files that run without torch: the text encoder for queries, and its tensors if large."""
    return {file.name: file.stat().st_size for file in sorted(folder.path.glob(f"{TEXT_FILE}*"))}


def remove_model(name: str, models_dir: Path) -> Path:
    """Delete the folder of an installed model, also of a damaged one, and return its path.

    Raises ModelError for a bundled model and for one that is not installed.
    """
    known_model(name)
    if (BUNDLED_DIR / name).is_dir():
        raise ModelError(f"{name} comes with vidsearch and cannot be removed")
    path = models_dir / name
    if not path.is_dir():
        find_model(name, models_dir)  # says what there is instead
    with FileLock(models_dir / ".install.lock"):
        remove_folder(path)
    return path
