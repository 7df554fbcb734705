"""How quick is a model's clip tower in each runtime, on the CPU? A second, or one run each where that takes longer.

Only what gives the vectors of torch in float32 is a candidate. An export is a candidate where one is there, or where
the processor has no fast bfloat16: elsewhere ONNX Runtime, which computes in float32, is no reason to write one. The
second is that of the runs. Before them networks are opened, in float32 always, since it tells whether the vectors of
the others are right, and an export is written, which with a wide model takes longer than all the rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidsearch.embedding.runtime_choice import CLEARLY, RuntimeTimes
from vidsearch.embedding.torch_clips import AGREE_COSINE, DTYPES, PlacedEncoder, noise_clips
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import installed
from vidsearch.models.device import fast_dtype
from vidsearch.models.folder import ModelFolder
from vidsearch.records import Precision, Runtime

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_CPU = torch.device("cpu")
_BUDGET_S = 1.0
_FAR = 1.5  # times the time of the quickest: no more runs would make up for that
_EXACT = Runtime("torch", "float32")
log = logging.getLogger(__name__)


def measure(folder: ModelFolder, exports: Path, *, write: bool | None = None) -> RuntimeTimes:
    """Times of the model in each runtime. An export is looked for in the folder of models `exports`.

    `write` one there where it is missing; None: where the processor has no fast bfloat16.
    """
    fast = fast_dtype(_CPU) is torch.bfloat16
    precisions: list[Precision] = ["bfloat16", "float32"] if fast else ["float32"]
    encoders = [PlacedEncoder(folder, _CPU, DTYPES[precision]) for precision in precisions]
    ways: dict[Runtime, Encode] = {
        Runtime("torch", precision): encoder.run for precision, encoder in zip(precisions, encoders, strict=True)
    }
    if (onnx := _in_onnx(folder, exports, write=not fast if write is None else write)) is not None:
        ways[Runtime("onnx", "float32")] = onnx
    usual = next(iter(ways))
    vectors, ms = _timed(ways, usual, noise_clips(folder, encoders[0].batch_clips))
    wrong = [runtime for runtime in ms if not _agrees(runtime, vectors)]
    for runtime in wrong:
        log.warning("%s gives other vectors of %s than torch in float32 and is not used", runtime, folder.name)
    right = {runtime: value for runtime, value in ms.items() if runtime not in wrong}
    return RuntimeTimes(usual if usual in right else _EXACT, right)


def _in_onnx(folder: ModelFolder, exports: Path, *, write: bool) -> Encode | None:
    """The clip tower in ONNX Runtime; None where it cannot be had."""
    if not installed("onnx"):
        return None
    from vidsearch.embedding.onnx_clips import OnnxClipEmbedder, find_export  # late: torch's side needs none of it

    try:
        return OnnxClipEmbedder(folder, exports).embed if write or find_export(folder, exports) is not None else None
    except (ModelError, VidsearchError) as error:  # a family without an export, a damaged one, a full disk
        log.info("ONNX Runtime is not tried: %s", error)
        return None


def _timed(
    ways: Mapping[Runtime, Encode], usual: Runtime, clips: NDArray[np.uint8]
) -> tuple[dict[Runtime, NDArray[np.float32]], dict[Runtime, float]]:
    """The vectors, and milliseconds a clip at the best of the runs of each way.

    Each way runs once, however long that takes; then they take turns until the budget is spent, without those that are
    far behind after two runs. What looks quicker than the usual way must do so when that one has run again: its first
    run, the first of all, has also started the threads.
    """
    vectors: dict[Runtime, NDArray[np.float32]] = {}
    best_s = dict.fromkeys(ways, float("inf"))
    runs = dict.fromkeys(ways, 0)
    started = time.perf_counter()

    def run(runtime: Runtime) -> None:
        began = time.perf_counter()
        vectors[runtime] = ways[runtime](clips)
        best_s[runtime] = min(best_s[runtime], time.perf_counter() - began)
        runs[runtime] += 1

    for runtime in ways:
        run(runtime)
    if min(best_s.values()) < CLEARLY * best_s[usual]:
        run(usual)
    for runtime in cycle(ways):
        near = [one for one in ways if runs[one] < 2 or best_s[one] <= _FAR * min(best_s.values())]
        if len(near) == 1 or time.perf_counter() - started >= _BUDGET_S:
            break
        if runtime in near:
            run(runtime)
    return vectors, {runtime: 1000 * seconds / len(clips) for runtime, seconds in best_s.items()}


def _agrees(runtime: Runtime, vectors: dict[Runtime, NDArray[np.float32]]) -> bool:
    """As near to torch in float32 as vectors of one library must be."""
    from vidsearch.embedding.onnx_clips import AGREE_COSINE as ONNX_AGREE_COSINE

    least = ONNX_AGREE_COSINE if runtime.name == "onnx" else AGREE_COSINE
    cosines = (vectors[runtime] * vectors[_EXACT]).sum(1)
    return bool(np.isfinite(cosines).all() and cosines.min() >= least)
