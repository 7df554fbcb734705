"""How an answerer is opened by its model's name; no torch until then."""

from __future__ import annotations

from pathlib import Path

from vidsearch import dirs
from vidsearch.answering.interface import Answerer, ComputePrecision
from vidsearch.extras import needing
from vidsearch.machine import let_waiting_threads_sleep_if_busy
from vidsearch.models.folder import find_model
from vidsearch.models.soundness import require_sound


def open_answerer(
    model: str,
    *,
    models_dir: Path | None = None,
    device: str = "auto",
    precision: ComputePrecision = "auto",
    cache_dir: Path | None = None,
) -> Answerer:
    """The answerer of an installed or bundled model. `cache_dir` None: the folder that `dirs` gives.

    `device` is auto, cpu, cuda, cuda:N or mps. Raises ModelError when the model is not there or damaged, VidsearchError
    for a device that this machine lacks, a precision that it cannot run, and an installation without torch.
    """
    let_waiting_threads_sleep_if_busy()
    folder = find_model(model, models_dir or dirs.models_dir(), "vqa")
    require_sound(folder)
    with needing("answering questions"):
        from vidsearch.answering.mobilevideogpt.answerer import MobileVideoGPTAnswerer
    from vidsearch.answering.visual_cache import VisualCache

    cache = VisualCache(cache_dir or dirs.cache_dir())
    return MobileVideoGPTAnswerer(folder, device=device, precision=precision, cache=cache)
