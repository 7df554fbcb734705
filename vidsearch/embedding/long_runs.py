"""A long run on the CPU first finds out which runtime is the quickest for its model here, if that is not known."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import dirs
from vidsearch.embedding.executors import PooledExecutor, Reconsidered
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.runtime_choice import RuntimeTimes, keep_times, kept_times
from vidsearch.embedding.videos import EmbedSpec
from vidsearch.errors import VidsearchError
from vidsearch.extras import installed
from vidsearch.models.folder import ModelFolder, find_model

if TYPE_CHECKING:
    from vidsearch.embedding.torch_clips import TorchClipEmbedder

log = logging.getLogger(__name__)


def reconsider(spec: EmbedSpec, running: ClipEmbedder) -> Reconsidered | None:
    """The quickest embedder of the spec after a measurement, which is kept: `running`, or another.

    If that is ONNX Runtime, its export is written now; the run waits for it. None where a runtime or a GPU was asked
    for or is there, where the choice was known when the run began, and where something fails.
    """
    if spec.runtime != "auto" or spec.device not in ("auto", "cpu") or not installed("torch"):
        return None
    from vidsearch.embedding.torch_clips import TorchClipEmbedder  # late: it imports torch
    from vidsearch.models.device import accelerators

    if (spec.device == "auto" and accelerators()) or not isinstance(running, TorchClipEmbedder):
        return None
    try:
        return _reconsidered(spec, running)
    except VidsearchError as error:  # a full disk: the run goes on as it is
        log.warning("%s", error)
        return None


def _reconsidered(spec: EmbedSpec, running: TorchClipEmbedder) -> Reconsidered | None:
    from vidsearch.embedding.onnx_clips import find_or_export, is_exported  # late: it imports ONNX Runtime

    models_dir = spec.models_dir or dirs.models_dir()
    folder = find_model(spec.model, models_dir, "embedding")
    times = kept_times(folder)
    if times is None:
        times = measured(folder, models_dir, running=running)
        note = f"Measured once for {spec.model} on this machine: {times} a clip; {times.quickest} is used from now on."
    elif times.quickest.name == "onnx" and not is_exported(folder, models_dir):  # `doctor` leaves no export
        note = f"{times.quickest} is used from now on: it was measured to be the quickest for {spec.model} here."
    else:
        return None
    if times.quickest == running.runtime:
        return Reconsidered(running, note)
    if times.quickest.name == "onnx":
        find_or_export(folder, models_dir)
    return Reconsidered(spec.open_embedder(), note)


# Opens the executor of `workflows.index` that asks `reconsider` once its run turns out to be a long one.
open_executor = partial(PooledExecutor, if_long=reconsider)


def measured(
    folder: ModelFolder, models_dir: Path, *, running: TorchClipEmbedder | None = None, draft: bool | None = None
) -> RuntimeTimes:
    """Measure a model and keep what was found. See `measure_runtimes.measure`."""
    from vidsearch.embedding.measure_runtimes import measure  # late: it imports torch

    times = measure(folder, models_dir, running=running, draft=draft)
    keep_times(folder, times)
    return times
