"""How embedders are opened by their model's name.

The backends are imported only then: torch for clips, ONNX Runtime alone for words, so that a query answers before torch
would be imported. Both run what the model's family provides (`models/families.py`).
"""

from __future__ import annotations

from pathlib import Path

from vidsearch import dirs
from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.extras import needing
from vidsearch.models.folder import ModelFolder, find_model
from vidsearch.models.soundness import require_sound


def open_clip_embedder(
    model: str, *, models_dir: Path | None = None, device: str = "auto", threads: int | None = None
) -> ClipEmbedder:
    """The clip embedder of an installed or bundled model.

    `device` is auto, cpu, cuda, cuda:N or mps; `threads` limits those of the CPU (None: as many as there are cores).
    Raises ModelError when the model is not there or damaged, VidsearchError for a device that this machine lacks,
    MissingExtraError without torch.
    """
    folder = _sound_model(model, models_dir)
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


def _sound_model(model: str, models_dir: Path | None) -> ModelFolder:
    folder = find_model(model, models_dir or dirs.models_dir(), "embedding")
    require_sound(folder)
    return folder
