"""How embedders are opened by their model's name.

The backends are imported only then: torch or ONNX Runtime for clips, ONNX Runtime alone for words, so that a query
answers before torch would be imported. All run what the model's family provides (`models/families.py`).
"""

from __future__ import annotations

from pathlib import Path

from vidsearch import dirs
from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.errors import VidsearchError
from vidsearch.extras import MissingExtraError, installed, needing
from vidsearch.models.folder import ModelFolder, find_model
from vidsearch.models.soundness import require_sound


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
    `runtime` is torch, onnx (an exported clip tower on the CPU), or auto: torch where it is installed, else an export.
    Raises ModelError when the model is not there or damaged, VidsearchError for a device that this machine or the
    runtime lacks, MissingExtraError without torch and without an export.
    """
    folder = _sound_model(model, models_dir)
    if _runs_onnx(folder, models_dir or dirs.models_dir(), runtime, device):
        from vidsearch.embedding.onnx_clips import OnnxClipEmbedder

        return OnnxClipEmbedder(folder, models_dir or dirs.models_dir(), threads=threads)
    with needing("embedding videos"):
        from vidsearch.embedding.torch_clips import TorchClipEmbedder

    return TorchClipEmbedder(folder, device=device, threads=threads)


def open_text_embedder(
    model: str, *, models_dir: Path | None = None, simplify: bool = True, threads: int | None = None
) -> TextEmbedder:
    """The text embedder of an installed or bundled model; torch is not imported.

    `simplify` writes texts as training captions were, of a model whose captions were simplified (MobileViCLIP's: lower
    case, few signs); other models ignore it. Raises ModelError when the model is not there or damaged.
    """
    folder = _sound_model(model, models_dir)
    from vidsearch.embedding.onnx_text import OnnxTextEmbedder

    return OnnxTextEmbedder(folder, simplify=simplify, threads=threads)


def _runs_onnx(folder: ModelFolder, models_dir: Path, runtime: str, device: str) -> bool:
    """VidsearchError for what does not go together."""
    if runtime == "torch" or (runtime == "auto" and installed("torch")):
        return False
    if runtime == "auto":
        from vidsearch.embedding.onnx_clips import find_export

        if find_export(folder, models_dir) is None:
            raise MissingExtraError("embedding videos", "torch")
    if device not in ("auto", "cpu"):
        raise VidsearchError(f"--runtime onnx runs on the CPU, not on {device}; choose --device cpu")
    return True


def _sound_model(model: str, models_dir: Path | None) -> ModelFolder:
    folder = find_model(model, models_dir or dirs.models_dir(), "embedding")
    require_sound(folder)
    return folder
