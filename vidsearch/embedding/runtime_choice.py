"""Which runtime is the quickest for a model on the CPU of this machine, as it was measured and kept. No torch.

`measure_runtimes.py` measures: in `vidsearch doctor`, and before the first long run of `vidsearch index`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import get_args

from vidsearch import measurements
from vidsearch.errors import ModelError
from vidsearch.machine import cores, processor
from vidsearch.models.folder import WEIGHTS_FILE, ModelFolder
from vidsearch.models.hashes import kept_hashes
from vidsearch.records import Precision, Runtime, RuntimeName

CLEARLY = 0.95  # of the usual form's time: what is hardly quicker may be slower tomorrow
_QUESTION = "runtime"


@dataclass(frozen=True, slots=True)
class RuntimeTimes:
    """Milliseconds a clip in each runtime that gives the right vectors. `usual` is the one that is used unmeasured."""

    usual: Runtime
    ms: Mapping[Runtime, float]

    @property
    def quickest(self) -> Runtime:
        """The usual one, unless another is clearly quicker."""
        return self._quickest(self.ms)

    @property
    def quickest_torch(self) -> Runtime:
        """The same among torch's precisions."""
        return self._quickest([runtime for runtime in self.ms if runtime.name == "torch"])

    def _quickest(self, among: Iterable[Runtime]) -> Runtime:
        best = min(among, key=lambda runtime: self.ms[runtime])
        return best if self.ms[best] < CLEARLY * self.ms[self.usual] else self.usual

    def __str__(self) -> str:
        return ", ".join(f"{runtime} {ms:.3g} ms" for runtime, ms in self.ms.items())


def kept_times(folder: ModelFolder) -> RuntimeTimes | None:
    """What was measured of a model here; None if it was not, or with another processor, version or set of weights."""
    depends_on = _depends_on(folder)
    found = None if depends_on is None else measurements.kept(_QUESTION, depends_on)
    if found is None:
        return None
    try:
        ms = {_runtime(name): float(value) for name, value in found["ms"].items()}
        usual = _runtime(found["usual"])
    except (AttributeError, KeyError, TypeError, ValueError):  # damaged: it is measured anew
        return None
    sound = usual.name == "torch" and usual in ms and all(value > 0 for value in ms.values())
    return RuntimeTimes(usual, ms) if sound else None


def keep_times(folder: ModelFolder, times: RuntimeTimes) -> None:
    """Keep them for this machine."""
    depends_on = _depends_on(folder)
    if depends_on is not None:
        ms = {_name(runtime): value for runtime, value in times.ms.items()}
        measurements.keep(_QUESTION, depends_on, {"usual": _name(times.usual), "ms": ms})


def _depends_on(folder: ModelFolder) -> dict[str, str] | None:
    """None for a model whose weights are not known by their hash."""
    try:
        weights = kept_hashes(folder).get(WEIGHTS_FILE)
    except ModelError:
        return None
    if weights is None:
        return None
    return {
        "processor": processor(),
        "cores": str(cores()),
        "torch": _version("torch"),
        "onnxruntime": _version("onnxruntime"),
        "model": folder.name,
        "weights": weights,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _name(runtime: Runtime) -> str:
    return f"{runtime.name} {runtime.precision}"


def _runtime(name: str) -> Runtime:
    """ValueError for what is no runtime."""
    for runtime in (Runtime(*words) for words in product(get_args(RuntimeName), get_args(Precision))):
        if _name(runtime) == name:
            return runtime
    raise ValueError(name)
