"""The quickest runtime is measured with the real ones, kept, and used; what is not sound is measured anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from vidsearch import dirs
from vidsearch.embedding import long_runs, measure_runtimes, runtime_choice
from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.long_runs import reconsider
from vidsearch.embedding.measure_runtimes import measure
from vidsearch.embedding.onnx_clips import OnnxClipEmbedder, OnnxTower, find_export, is_exported
from vidsearch.embedding.runtime_choice import RuntimeTimes, keep_times, kept_times
from vidsearch.embedding.torch_clips import TorchClipEmbedder
from vidsearch.embedding.videos import EmbedSpec
from vidsearch.models.device import accelerators, fast_dtype
from vidsearch.models.folder import BUNDLED_DIR, ModelFolder, open_folder
from vidsearch.models.hashes import write_hashes
from vidsearch.records import Runtime

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
BFLOAT16, FLOAT32, ONNX = Runtime("torch", "bfloat16"), Runtime("torch", "float32"), Runtime("onnx", "float32")
SPEC = EmbedSpec(NANO.name, NANO.embedding.preprocessing.frame_spec, device="cpu")
cpu_only = pytest.mark.skipif(bool(accelerators()), reason="a GPU is used here, whatever the CPU does")


def keep(**ms: float) -> None:
    """Times as if they had been measured: by `bfloat16`, `float32`, `onnx`."""
    names = {"bfloat16": BFLOAT16, "float32": FLOAT32, "onnx": ONNX}
    keep_times(NANO, RuntimeTimes(FLOAT32, {names[name]: value for name, value in ms.items()}))


def clips() -> np.ndarray:
    side = NANO.embedding.preprocessing.side_px
    return np.random.default_rng(3).integers(0, 256, (3, 8, side, side, 3), np.uint8)


def test_every_runtime_of_this_machine_is_measured(tmp_path: Path) -> None:
    times = measure(NANO, tmp_path, draft=True)
    usual = BFLOAT16 if fast_dtype(torch.device("cpu")) is torch.bfloat16 else FLOAT32
    assert times.usual == usual
    assert set(times.ms) == {usual, FLOAT32, ONNX}
    assert all(0 < ms < 1000 for ms in times.ms.values())
    assert not any(tmp_path.iterdir())  # the draft is gone


@pytest.mark.parametrize("usual", [torch.float32, torch.bfloat16])
def test_onnx_is_timed_where_bfloat16_is_slow_or_an_export_is_there(
    usual: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_runtimes, "fast_dtype", lambda _: usual)
    times = measure(NANO, tmp_path)
    slow = usual is torch.float32
    assert times.usual == (FLOAT32 if slow else BFLOAT16)
    assert set(times.ms) == ({FLOAT32, ONNX} if slow else {BFLOAT16, FLOAT32})
    OnnxClipEmbedder(NANO, tmp_path)  # writes the export
    assert ONNX in measure(NANO, tmp_path).ms


def test_a_runtime_with_other_vectors_is_no_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(self: OnnxTower, given: np.ndarray) -> np.ndarray:
        return -np.asarray(run(self, given))

    run = OnnxTower.run
    monkeypatch.setattr(OnnxTower, "run", turned)
    assert ONNX not in measure(NANO, tmp_path, draft=True).ms


class Clock:
    """Time that passes only while one of its encoders runs."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def encoder(self, *run_s: float) -> Mock:
        """Its runs take so many seconds, all after the last as many as that one."""

        def encode(given: np.ndarray) -> np.ndarray:
            self.now_s += run_s[min(fake.call_count, len(run_s)) - 1]
            return np.ones((len(given), 1), np.float32)

        fake = Mock(side_effect=encode)
        return fake


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure_runtimes, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("opening_s", "cold", "usual_s", "other_s", "runs", "ms"),
    [
        (0.0, True, [3.0], [4.0], (1, 1), (3000, 4000)),  # over a second: nothing runs again
        (0.0, True, [3.0], [2.0], (2, 1), (3000, 2000)),  # but what looks quicker must be so against a second run
        (0.0, True, [3.0, 1.0], [2.0], (2, 1), (1000, 2000)),
        (0.0, False, [3.0, 1.0], [2.0], (1, 1), (3000, 2000)),  # of a network that has not run before
        (0.0, True, [0.125], [0.25], (2, 2), (125, 250)),  # far behind: there is nothing left to compare
        (0.0, True, [0.25], [0.125], (3, 2), (250, 125)),  # but the usual one is not left before the second is over
        (0.0, True, [0.125], [0.25, 0.125], (4, 3), (125, 125)),  # by its first run alone nothing is far behind
        (0.0, True, [0.25, 0.125], [0.1875], (3, 2), (125, 187.5)),  # near each other: in turns while there is time
        (0.5, True, [0.125], [0.125], (2, 2), (125, 125)),  # opening them counts
        (0.75, False, [0.25], [0.25], (1, 1), (250, 250)),
    ],
)
def test_a_measurement_ends_when_its_second_is_over_or_one_is_far_ahead(
    opening_s: float,
    cold: bool,
    usual_s: list[float],
    other_s: list[float],
    runs: tuple[int, int],
    ms: tuple[float, float],
    clock: Clock,
) -> None:
    ways: dict[Runtime, Mock] = {FLOAT32: clock.encoder(*usual_s), ONNX: clock.encoder(*other_s)}
    _, found = measure_runtimes._timed(ways, clips()[:1], started_s=-opening_s, cold=cold)
    assert tuple(way.call_count for way in ways.values()) == runs
    assert tuple(found.values()) == pytest.approx(ms)


def test_what_is_hardly_quicker_is_not_chosen() -> None:
    times = RuntimeTimes(FLOAT32, {FLOAT32: 10.0, ONNX: 9.8})
    assert times.quickest == FLOAT32
    times = RuntimeTimes(FLOAT32, {FLOAT32: 10.0, ONNX: 9.0})
    assert (times.quickest, times.quickest_torch) == (ONNX, FLOAT32)
    times = RuntimeTimes(BFLOAT16, {BFLOAT16: 10.0, FLOAT32: 8.0, ONNX: 9.0})
    assert times.quickest == times.quickest_torch == FLOAT32


def test_what_was_measured_is_kept_for_this_machine_and_these_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kept_times(NANO) is None
    times = RuntimeTimes(BFLOAT16, {BFLOAT16: 1.5, FLOAT32: 2.5, ONNX: 2.0})
    keep_times(NANO, times)
    assert kept_times(NANO) == times

    other = other_weights(tmp_path)
    assert kept_times(other) is None
    (other.path / "hashes.json").unlink()
    keep_times(other, times)  # of weights without a hash nothing can be kept
    assert kept_times(other) is None

    monkeypatch.setattr(runtime_choice, "processor", lambda: "another one")
    assert kept_times(NANO) is None


def other_weights(tmp_path: Path) -> ModelFolder:
    path = tmp_path / NANO.name
    shutil.copytree(NANO.path, path)
    with (path / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    write_hashes(path)
    return replace(NANO, path=path)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"usual": "torch float32", "ms": {}},
        {"usual": "torch float32", "ms": [1]},
        {"usual": "torch float32", "ms": {"torch float32": "quick"}},
        {"usual": "torch float32", "ms": {"torch float32": 0}},
        {"usual": "torch float32", "ms": {"torch float32": float("nan")}},
        {"usual": "torch int4", "ms": {"torch int4": 1}},
        {"usual": "onnx float32", "ms": {"onnx float32": 1}},
        {"usual": "torch float32", "ms": {"onnx float32": 1}},
    ],
)
def test_a_damaged_measurement_is_as_none(found: dict[str, object]) -> None:
    keep(float32=2.0)
    [path] = (dirs.cache_dir() / "measured").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"found": found}))
    assert kept_times(NANO) is None
    assert isinstance(open_clip_embedder(NANO.name, device="cpu"), TorchClipEmbedder)


def test_torch_runs_in_the_quickest_precision() -> None:
    keep(bfloat16=2.0, float32=1.0, onnx=3.0)
    assert open_clip_embedder(NANO.name, device="cpu").device.startswith("cpu (float32")
    keep(bfloat16=1.0, float32=2.0, onnx=0.5)  # of which there is no export
    assert open_clip_embedder(NANO.name, device="cpu").device.startswith("cpu (bfloat16")


def test_the_quickest_runtime_is_used_if_it_is_onnx(caplog: pytest.LogCaptureFixture) -> None:
    models_dir = dirs.models_dir()
    torch_embedder = open_clip_embedder(NANO.name, device="cpu", runtime="onnx")  # writes the export
    assert isinstance(torch_embedder, OnnxClipEmbedder)
    assert isinstance(open_clip_embedder(NANO.name, device="cpu"), TorchClipEmbedder)  # nothing was measured
    keep(float32=2.0, onnx=1.0)
    chosen = open_clip_embedder(NANO.name, device="cpu")
    assert isinstance(chosen, OnnxClipEmbedder)
    exact = open_clip_embedder(NANO.name, device="cpu", runtime="torch")
    assert isinstance(exact, TorchClipEmbedder)
    assert (chosen.embed(clips()) * exact.embed(clips())).sum(1).min() >= 0.9999

    export = find_export(NANO, models_dir)
    assert export is not None
    export.write_bytes(export.read_bytes()[:-100])
    assert isinstance(open_clip_embedder(NANO.name, device="cpu"), TorchClipEmbedder)
    assert "has changed since it was exported" in caplog.text


@cpu_only
def test_a_long_run_measures_once() -> None:
    running = open_clip_embedder(NANO.name, device="cpu")
    found = reconsider(SPEC, running)
    assert found is not None
    assert found.note.startswith(f"Measured once for {NANO.name} on this machine: torch ")
    times = kept_times(NANO)
    assert times is not None and str(times.quickest) in found.note
    assert (found.embedder is running) == (times.quickest == times.usual)  # the usual form is not opened again
    assert is_exported(NANO, dirs.models_dir()) == (times.quickest.name == "onnx")
    assert reconsider(SPEC, found.embedder) is None


@cpu_only
def test_a_long_run_writes_the_export_that_was_found_to_be_quicker() -> None:
    keep(float32=2.0, onnx=1.0)
    running = open_clip_embedder(NANO.name, device="cpu")
    found = reconsider(SPEC, running)
    assert found is not None and isinstance(found.embedder, OnnxClipEmbedder)
    assert (
        found.note
        == f"ONNX Runtime float32 is used from now on: it was measured to be the quickest for {NANO.name} here."
    )
    assert reconsider(SPEC, open_clip_embedder(NANO.name, device="cpu")) is None  # the next run begins with it


@cpu_only
def test_a_run_goes_on_where_the_quicker_export_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    keep(float32=2.0, onnx=1.0)
    dirs.models_dir().mkdir(parents=True, exist_ok=True)
    (dirs.models_dir() / "exports").write_text("no folder")
    assert reconsider(SPEC, open_clip_embedder(NANO.name, device="cpu")) is None
    assert "set VIDSEARCH_MODEL_DIR to one that may be written" in caplog.text


@pytest.mark.parametrize("wanted", [{"runtime": "torch"}, {"runtime": "onnx"}, {"device": "cuda"}])
def test_what_was_asked_for_is_not_measured(wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_runs, "measured", lambda *_: pytest.fail("it was measured"))
    running = open_clip_embedder(NANO.name, device="cpu")
    assert reconsider(replace(SPEC, **wanted), running) is None  # type: ignore[arg-type]
