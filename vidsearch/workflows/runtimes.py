"""Which runtimes can index on this machine, and how quick each is, measured with the bundled model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import installed
from vidsearch.models.registry import BUNDLED_MODEL

_CLIPS = 4
_RUNS = 5
_NAMES = {"torch": "torch", "onnx": "ONNX Runtime"}


def indexing_runtimes(models_dir: Path) -> str:
    """Milliseconds a clip in each runtime, on the CPU, and what to choose. MissingExtraError if none can index."""
    from vidsearch.embedding.onnx_clips import AGREE_COSINE

    if not installed("torch"):
        took = _milliseconds(open_clip_embedder(BUNDLED_MODEL, models_dir=models_dir))
        return f"torch is not installed; ONNX Runtime runs exported models, {took:.1f} ms a clip of the bundled one"
    torch = open_clip_embedder(BUNDLED_MODEL, models_dir=models_dir, device="cpu", runtime="torch")
    with TemporaryDirectory(prefix="vidsearch-doctor-") as folder:
        onnx = open_clip_embedder(
            BUNDLED_MODEL, models_dir=_where_exports_are(models_dir, Path(folder)), runtime="onnx"
        )
        cosine = _lowest_cosine(torch, onnx)
        if cosine < AGREE_COSINE - 1e-3:  # torch may compute in bfloat16 here
            raise VidsearchError(f"torch and ONNX Runtime disagree about {BUNDLED_MODEL} (cosine {cosine:.6f})")
        took_ms = {"torch": _milliseconds(torch), "onnx": _milliseconds(onnx)}
    quicker = min(took_ms, key=lambda name: took_ms[name])
    times = ", ".join(f"{_NAMES[name]} {ms:.1f} ms a clip" for name, ms in took_ms.items())
    return f"{times} of the bundled model, cosine {cosine:.6f}; quicker here: index --runtime {quicker}"


def _where_exports_are(models_dir: Path, other: Path) -> Path:
    """The user's folder if the bundled model is exported there, else one that is thrown away: nothing is left."""
    from vidsearch.embedding.onnx_clips import find_export
    from vidsearch.models.folder import find_model

    try:
        found = find_export(find_model(BUNDLED_MODEL, models_dir), models_dir)
    except ModelError:
        found = None
    return models_dir if found is not None else other


def _clips(embedder: ClipEmbedder) -> np.ndarray:
    side = embedder.frame_spec.side_px
    return np.random.default_rng(0).integers(0, 256, (_CLIPS, embedder.frames, side, side, 3), np.uint8)


def _lowest_cosine(a: ClipEmbedder, b: ClipEmbedder) -> float:
    clips = _clips(a)
    return float((a.embed(clips) * b.embed(clips)).sum(1).min())


def _milliseconds(embedder: ClipEmbedder) -> float:
    """A clip, the quickest of a few runs."""
    clips = _clips(embedder)
    return 1000 * min(_seconds(lambda: embedder.embed(clips)) for _ in range(_RUNS)) / _CLIPS


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
