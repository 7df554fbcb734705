"""How embedders are opened by their model's name.

The backends are imported only then: torch or ONNX Runtime for clips, ONNX Runtime or numpy for words, so that a query
answers before torch would be imported. All run what the model's family provides (`models/families.py`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import dirs
from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import MissingExtraError, installed, needing
from vidsearch.machine import let_waiting_threads_sleep_if_busy
from vidsearch.models.folder import ModelFolder, find_model
from vidsearch.models.soundness import require_sound

if TYPE_CHECKING:
    from vidsearch.models.interface import TextEncoder

log = logging.getLogger(__name__)


def open_clip_embedder(
    model: str,
    *,
    models_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    runtime: str = "auto",
) -> ClipEmbedder:
    """The clip embedder of an installed or bundled model.

    `device` is auto, cpu, cuda, cuda:N or mps; `threads` limits those of the CPU (None: as many as there are cores).
    `runtime` is torch, onnx (an exported clip tower on the CPU), or auto: what was measured to be the quickest on this
    machine's CPU if it was measured (`runtime_choice.py`), else torch where it is installed, else an export. Raises
    ModelError when the model is not there or damaged, VidsearchError for a device that this machine or the runtime
    lacks, MissingExtraError without torch and without an export.
    """
    let_waiting_threads_sleep_if_busy()
    folder = _found(model, models_dir)
    require_sound(folder)
    place = models_dir or dirs.models_dir()
    if runtime == "onnx" or (runtime == "auto" and not installed("torch")):
        _require_onnx(folder, place, runtime, device)
        from vidsearch.embedding.onnx_clips import OnnxClipEmbedder

        return OnnxClipEmbedder(folder, place, threads=threads)
    from vidsearch.embedding.runtime_choice import kept_times  # late: no query for words needs it

    times = kept_times(folder) if threads is None and device in ("auto", "cpu") else None  # measured with all cores
    if runtime == "auto" and times is not None and times.quickest.name == "onnx":
        quicker = _quicker_export(folder, place, device)
        if quicker is not None:
            return quicker
    with needing("embedding videos"):
        from vidsearch.embedding.torch_clips import TorchClipEmbedder

    precision = None if times is None else times.quickest_torch.precision
    return TorchClipEmbedder(folder, device=device, threads=threads, precision=precision)


def open_text_embedder(
    model: str,
    *,
    models_dir: Path | None = None,
    simplify: bool = True,
    threads: int | None = None,
    found: ModelFolder | None = None,
) -> TextEmbedder:
    """The text embedder of an installed or bundled model; torch is not imported.

    `simplify` writes texts as training captions were, of a model whose captions were simplified (MobileViCLIP's: lower
    case, few signs); other models ignore it. `found`: the model's folder, of a caller who has it. Raises ModelError
    when the model is not there or damaged.
    """
    folder = found or _found(model, models_dir)
    require_sound(folder)
    from vidsearch.embedding.text_embedder import ModelTextEmbedder

    return ModelTextEmbedder(folder, _text_encoder(folder, threads), simplify=simplify)


def _text_encoder(folder: ModelFolder, threads: int | None) -> TextEncoder:
    """numpy where the family has one for a text encoder of this size, else ONNX Runtime."""
    if (small := folder.family.small_text_encoder(folder)) is not None:
        return small
    from vidsearch.embedding.onnx_text import OnnxTextEncoder

    return OnnxTextEncoder(folder, threads=threads)


def _require_onnx(folder: ModelFolder, models_dir: Path, runtime: str, device: str) -> None:
    """VidsearchError where ONNX Runtime cannot do what is asked; MissingExtraError if nobody asked for it by name."""
    if runtime == "auto":
        from vidsearch.embedding.onnx_clips import find_export

        if find_export(folder, models_dir) is None:
            raise MissingExtraError("embedding videos", "torch")
    if device not in ("auto", "cpu"):
        raise VidsearchError(f"--runtime onnx runs on the CPU, not on {device}; choose --device cpu")


def _quicker_export(folder: ModelFolder, models_dir: Path, device: str) -> ClipEmbedder | None:
    """The exported clip tower; None where `device` means a GPU, and where there is no sound export. None is written."""
    from vidsearch.embedding.onnx_clips import OnnxClipEmbedder, find_export
    from vidsearch.models.device import accelerators

    if device == "auto" and accelerators():
        return None
    try:
        return None if find_export(folder, models_dir) is None else OnnxClipEmbedder(folder, models_dir)
    except ModelError as error:
        log.warning("%s; torch is used instead", error)
        return None


def _found(model: str, models_dir: Path | None) -> ModelFolder:
    return find_model(model, models_dir or dirs.models_dir(), "embedding")
