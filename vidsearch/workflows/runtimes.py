"""What encodes videos the quickest on this machine, measured for `doctor`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.long_runs import measured
from vidsearch.embedding.onnx_clips import is_exported
from vidsearch.extras import installed
from vidsearch.models.folder import find_model


def measured_runtimes(name: str, models_dir: Path) -> str:
    """Measure a model here and keep what was found; a sentence. MissingExtraError if nothing here can encode videos.

    An export that is written for the measurement is thrown away.
    """
    if not installed("torch"):
        return f"torch is not installed; {name} runs on {open_clip_embedder(name, models_dir=models_dir).device}"
    folder = find_model(name, models_dir, "embedding")
    small = folder.origin == "bundled"  # its export is written in half a second
    with TemporaryDirectory(prefix="vidsearch-doctor-") as other:
        exports = models_dir if is_exported(folder, models_dir) else Path(other)
        times = measured(folder, exports, write=small or None)
    return f"{times} a clip of {name}; index uses {times.quickest}"
