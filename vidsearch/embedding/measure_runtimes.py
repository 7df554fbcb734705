"""How quick is a model's clip tower in each runtime, on the CPU? A second, or one run each where that takes longer.

The second begins before the networks are opened. torch in float32 is always a candidate, and only what gives its
vectors is another. ONNX Runtime is one where an export is there, or where the processor has no fast bfloat16: then a
draft of the export is timed, which is not proved and not kept. Elsewhere ONNX Runtime, which computes in float32, is no
reason to write one. A run is one clip of a wide model and eight of a narrow one, as torch takes them (`batch_clips`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidsearch.embedding.runtime_choice import CLEARLY, RuntimeTimes
from vidsearch.embedding.torch_clips import AGREE_COSINE, TorchClipEmbedder, noise_clips
from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import installed
from vidsearch.models.device import fast_dtype
from vidsearch.models.folder import ModelFolder
from vidsearch.records import Runtime

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_CPU = torch.device("cpu")
_BUDGET_S = 1.0
_FAR = 1.5  # times the time of the quickest: no more runs would make up for that
_EXACT = Runtime("torch", "float32")
log = logging.getLogger(__name__)


def measure(
    folder: ModelFolder, models_dir: Path, *, running: TorchClipEmbedder | None = None, draft: bool | None = None
) -> RuntimeTimes:
    """Times of the model in each runtime. An export is looked for in the folder of models.

    `running` has embedded clips of the model already, in the form that is used unmeasured; None: it is opened.
    `draft` an export where there is none; None: where the processor has no fast bfloat16.
    """
    started_s = time.perf_counter()
    fast = fast_dtype(_CPU) is torch.bfloat16
    first = running or TorchClipEmbedder(folder, device="cpu", precision="bfloat16" if fast else "float32")
    usual = first.runtime
    ways: dict[Runtime, Encode] = {usual: first.embed}
    if usual != _EXACT:
        ways[_EXACT] = TorchClipEmbedder(folder, device="cpu", precision="float32").embed
    if (onnx := _in_onnx(folder, models_dir, draft=not fast if draft is None else draft)) is not None:
        ways[Runtime("onnx", "float32")] = onnx
    clips = noise_clips(folder, first.batch_clips)
    vectors, ms = _timed(ways, clips, started_s, cold=running is None)
    wrong = [runtime for runtime in ms if not _agrees(runtime, vectors)]
    for runtime in wrong:
        log.warning("%s gives other vectors of %s than torch in float32 and is not used", runtime, folder.name)
    right = {runtime: value for runtime, value in ms.items() if runtime not in wrong}
    return RuntimeTimes(usual if usual in right else _EXACT, right)


def _in_onnx(folder: ModelFolder, models_dir: Path, *, draft: bool) -> Encode | None:
    """The clip tower in ONNX Runtime: an export, or a draft of one; None where it cannot be had."""
    if not installed("onnx"):
        return None
    from vidsearch.embedding.onnx_clips import OnnxClipEmbedder, find_export, open_draft  # late: torch needs none of it

    try:
        if find_export(folder, models_dir) is not None:
            return OnnxClipEmbedder(folder, models_dir).embed
        return open_draft(folder).run if draft else None
    except (ModelError, VidsearchError) as error:  # a family without an export, a damaged one, a full disk
        log.info("ONNX Runtime is not tried: %s", error)
        return None


def _timed(
    ways: Mapping[Runtime, Encode], clips: NDArray[np.uint8], started_s: float, *, cold: bool
) -> tuple[dict[Runtime, NDArray[np.float32]], dict[Runtime, float]]:
    """The vectors, and milliseconds a clip at the best of the runs of each way. The first way is the usual one.

    Each way runs once, however long that takes; then they take turns while the next run fits into what is left of the
    budget, the usual one always and the others unless they are far behind after two runs: to leave the usual one takes
    more than a bad moment of the machine. If the usual way is `cold`, what looks quicker must do so when that one has
    run again: its first run, the first of all, has also started the threads.
    """
    usual = next(iter(ways))
    vectors: dict[Runtime, NDArray[np.float32]] = {}
    best_s = dict.fromkeys(ways, float("inf"))
    runs = dict.fromkeys(ways, 0)

    def run(runtime: Runtime) -> None:
        began = time.perf_counter()
        vectors[runtime] = ways[runtime](clips)
        best_s[runtime] = min(best_s[runtime], time.perf_counter() - began)
        runs[runtime] += 1

    for runtime in ways:
        run(runtime)
    if cold and min(best_s.values()) < CLEARLY * best_s[usual]:
        run(usual)
    while True:
        far_s = _FAR * min(best_s.values())
        near = [one for one in ways if one == usual or runs[one] < 2 or best_s[one] <= far_s]
        turn = min(near, key=runs.__getitem__)
        if len(near) == 1 or time.perf_counter() + best_s[turn] > started_s + _BUDGET_S:
            break
        run(turn)
    return vectors, {runtime: 1000 * seconds / len(clips) for runtime, seconds in best_s.items()}


def _agrees(runtime: Runtime, vectors: dict[Runtime, NDArray[np.float32]]) -> bool:
    """As near to torch in float32 as vectors of one library must be."""
    from vidsearch.embedding.onnx_clips import AGREE_COSINE as ONNX_AGREE_COSINE

    least = ONNX_AGREE_COSINE if runtime.name == "onnx" else AGREE_COSINE
    cosines = (vectors[runtime] * vectors[_EXACT]).sum(1)
    return bool(np.isfinite(cosines).all() and cosines.min() >= least)
