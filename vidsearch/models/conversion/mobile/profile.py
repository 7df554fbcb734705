"""Where the time of a clip tower goes: milliseconds of each operator, grouped by the part of the network.

Every operator is timed in every run, and counts with the least of its times: what other programs take away is not the
network's. ONNX Runtime times its own nodes, whose names are paths of modules; torch is timed call by call.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vidsearch.errors import VidsearchError
from vidsearch.models.conversion.mobile.onnx_clip import INPUT, write_clip_tower
from vidsearch.models.conversion.mobile.to_onnx import FORM
from vidsearch.models.device import named_device
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig
from vidsearch.models.mobileviclip.export_form import ClipTower, clip_tower
from vidsearch.models.mobileviclip.load import Network, build_from

DEPTHS = (1, 2, 4, 8)
_RENAMED = re.compile(r"_(nchwc|token)_?\d*$|_kernel_time$")  # what ONNX Runtime appends to names
_MIXING = ("temporal mixing", "spatial mixing")


@dataclass(frozen=True, slots=True)
class Timed:
    """One operator: the path of its module, its kind, and the least time that it took."""

    path: str
    operator: str
    ms: float


@dataclass(frozen=True, slots=True)
class Profile:
    """One clip through a tower. `best_run_ms` is the quickest run as a whole; operators sum up to about that."""

    model: str
    runtime: str
    device: str
    runs: int
    best_run_ms: float
    operators: tuple[Timed, ...]

    @property
    def sum_ms(self) -> float:
        return sum(each.ms for each in self.operators)

    def by_module(self) -> dict[str, float]:
        """Part of the network → milliseconds, in the order in which they run."""
        return _summed((part_of(each.path), each.ms) for each in self.operators)

    def by_operator(self) -> dict[str, float]:
        """Kind of operator → milliseconds, the slowest first."""
        summed = _summed((each.operator, each.ms) for each in self.operators)
        return dict(sorted(summed.items(), key=lambda item: -item[1]))


def part_of(path: str) -> str:
    """`network/2/0/temporal` → "stage 2 temporal mixing"."""
    names = path.split("/")
    if names[0] in ("patch_embed", "conv_exp", "head"):
        return {"patch_embed": "stem", "conv_exp": "expansion", "head": "head"}[names[0]]
    if names[0] != "network" or len(names) < 2:
        return "input and layout"
    place = int(names[1])
    if place == 6:
        return "position encoding"
    if place % 2 and place < 7:
        return f"downsampling {place // 2 + 1}"
    stage = 4 if place == 7 else place // 2 + 1
    part = names[3] if len(names) > 3 else ""
    mixing = "attention" if stage == 4 else "spatial mixing"
    what = {"temporal": "temporal mixing", "token_mixer": mixing, "convffn": "ConvFFN"}.get(part, part)
    return f"stage {stage} {what}"


def profile_network(network: Network, runtime: str, device: str = "cpu", runs: int = 10) -> Profile:
    """Time the clip tower of a network in its inference form; `runtime` is onnx (one thread of the CPU) or torch."""
    tower = clip_tower(network, FORM)
    name, side = network.config.name, tower.side_px
    clip = np.random.default_rng(0).standard_normal((tower.frames, 3, side, side)).astype(np.float32)
    if runtime == "onnx":
        best, timed = _onnx(tower, clip, runs)
        return Profile(name, f"ONNX Runtime {onnxruntime.__version__}", "cpu, 1 thread", runs, best, timed)
    placed = named_device("cpu" if device == "auto" else device)
    best, timed = _torch(tower, torch.from_numpy(clip), placed, runs)
    return Profile(name, f"torch {torch.__version__}", str(placed), runs, best, timed)


def sweep_of(name: str, runtime: str, runs: int = 5) -> list[tuple[int, float, float]]:
    """`sweep_depth` of a published size. VidsearchError for a name that is none."""
    if name not in CONFIGS:
        raise VidsearchError(f"{name} has no depth to sweep; choose one of {', '.join(CONFIGS)}")
    return sweep_depth(CONFIGS[name], runtime, runs)


def sweep_depth(config: MobileCLIPConfig, runtime: str, runs: int = 5) -> list[tuple[int, float, float]]:
    """Blocks a stage, milliseconds of mixing by convolution (three stages), and by attention (one), random weights."""
    rows = []
    for depth in DEPTHS:
        deep = replace(config, image=replace(config.image, depths=(depth,) * 4))
        parts = profile_network(build_from(deep).reparameterize(), runtime, runs=runs).by_module()
        convolution = sum(ms for name, ms in parts.items() if name.endswith(_MIXING))
        attention = sum(ms for name, ms in parts.items() if name.endswith("attention"))
        rows.append((depth, convolution, attention))
    return rows


def _onnx(tower: ClipTower, clip: np.ndarray, runs: int) -> tuple[float, tuple[Timed, ...]]:
    with TemporaryDirectory(prefix="vidsearch-profile-") as folder:
        path = Path(folder) / "clip.onnx"
        write_clip_tower(tower, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        took = [_seconds(lambda: session.run(None, {INPUT: clip[None]})) for _ in range(runs + 1)]
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    least: dict[tuple[str, str], float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (_RENAMED.sub("", event["name"].removesuffix("_kernel_time")), event["args"]["op_name"])
            least[key] = min(least.get(key, float("inf")), event["dur"] / 1000)
    timed = tuple(Timed(name.rpartition("/")[0], kind, ms) for (name, kind), ms in least.items())
    return 1000 * min(took[1:]), timed


class _Timing(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it without types
    """Times every operator that torch is given, with the path of the module in which it stands."""

    def __init__(self, paths: list[str], device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._paths, self._device = paths, device
        self.calls: list[Timed] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _wait(self._device)
        start = time.perf_counter()
        result = function(*args, **(kwargs or {}))
        _wait(self._device)
        took = 1000 * (time.perf_counter() - start)
        self.calls.append(Timed(self._paths[-1] if self._paths else "", str(function).removeprefix("aten."), took))
        return result


@torch.no_grad()
def _torch(tower: ClipTower, clip: Tensor, device: torch.device, runs: int) -> tuple[float, tuple[Timed, ...]]:
    tower, clip = tower.to(device), clip.to(device)
    tower(clip)
    _wait(device)
    took = min(_seconds(lambda: _run(tower, clip, device)) for _ in range(runs))
    measured: list[list[Timed]] = []
    with _paths_of(tower) as paths:
        for _ in range(runs):
            with _Timing(paths, device) as timing:
                tower(clip)
            measured.append(timing.calls)
    return 1000 * took, tuple(_least(calls) for calls in zip(*measured, strict=True))


def _run(tower: ClipTower, clip: Tensor, device: torch.device) -> None:
    tower(clip)
    _wait(device)


def _least(calls: Sequence[Timed]) -> Timed:
    return min(calls, key=lambda call: call.ms)


@contextmanager
def _paths_of(tower: nn.Module) -> Iterator[list[str]]:
    """A stack of the modules that are running, kept by hooks."""
    stack: list[str] = []
    hooks = []
    for name, module in tower.named_modules():
        path = name.replace(".", "/")
        hooks.append(module.register_forward_pre_hook(lambda _module, _inputs, path=path: stack.append(path)))
        hooks.append(module.register_forward_hook(lambda _module, _inputs, _output: (stack.pop(), None)[1]))
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _summed(pairs: Any) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, ms in pairs:
        total[name] = total.get(name, 0.0) + ms
    return total
