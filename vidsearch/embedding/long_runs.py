"""A long run on the CPU first finds out which runtime is the quickest for its model here, if that is not known."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from vidsearch import dirs
from vidsearch.embedding.executors import PooledExecutor, Reconsidered
from vidsearch.embedding.runtime_choice import RuntimeTimes, keep_times, kept_times
from vidsearch.embedding.videos import EmbedSpec
from vidsearch.errors import VidsearchError
from vidsearch.extras import installed
from vidsearch.models.folder import ModelFolder, find_model

log = logging.getLogger(__name__)


def reconsider(spec: EmbedSpec) -> Reconsidered | None:
    """The quickest embedder of the spec after a measurement, which is kept. An export is written if it is the quickest.

    None where a runtime or a GPU was asked for or is there, and where the choice was known when the run began.
    """
    if spec.runtime != "auto" or spec.device not in ("auto", "cpu") or not installed("torch"):
        return None
    from vidsearch.models.device import accelerators  # late: it imports torch

    if spec.device == "auto" and accelerators():
        return None
    from vidsearch.embedding.onnx_clips import discard_export, find_or_export, is_exported  # late: ONNX Runtime

    models_dir = spec.models_dir or dirs.models_dir()
    folder = find_model(spec.model, models_dir, "embedding")
    times, exported = kept_times(folder), is_exported(folder, models_dir)
    if times is None:
        times = measured(folder, models_dir)
        note = f"Measured once for {spec.model} on this machine: {times} a clip; {times.quickest} is used from now on."
    elif times.quickest.name == "onnx" and not exported:  # `doctor` leaves no export
        note = f"{times.quickest} is used from now on: it was measured to be the quickest for {spec.model} here."
    else:
        return None
    try:
        if times.quickest.name == "onnx":
            find_or_export(folder, models_dir)
        elif not exported:
            discard_export(folder, models_dir)
    except VidsearchError as error:  # a full disk: the run goes on in torch
        log.warning("%s", error)
    return Reconsidered(spec.open_embedder(), note)


# Opens the executor of `workflows.index` that asks `reconsider` once its run turns out to be a long one.
open_executor = partial(PooledExecutor, if_long=reconsider)


def measured(folder: ModelFolder, exports: Path, *, write: bool | None = None) -> RuntimeTimes:
    """Measure a model and keep what was found. See `measure_runtimes.measure`."""
    from vidsearch.embedding.measure_runtimes import measure  # late: it imports torch

    times = measure(folder, exports, write=write)
    keep_times(folder, times)
    return times
