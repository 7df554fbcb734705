"""What encodes videos the quickest on this machine, measured for `doctor`."""

from __future__ import annotations

from pathlib import Path

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.long_runs import measured
from vidsearch.extras import installed
from vidsearch.models.folder import find_model


def measured_runtimes(name: str, models_dir: Path) -> str:
    """Measure a model here and keep what was found; a sentence. MissingExtraError if nothing here can encode videos."""
    if not installed("torch"):
        return f"torch is not installed; {name} runs on {open_clip_embedder(name, models_dir=models_dir).device}"
    folder = find_model(name, models_dir, "embedding")
    small = folder.origin == "bundled"  # its draft takes a moment, and shows ONNX Runtime on any processor
    times = measured(folder, models_dir, draft=small or None)
    return f"{times} a clip of {name}; index uses {times.quickest}"
