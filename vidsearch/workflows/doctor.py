"""Is everything here that a run needs, and does it work? One line for each part that was tried."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidsearch.errors import VidsearchError
from vidsearch.extras import MissingExtraError, installed
from vidsearch.machine import let_waiting_threads_sleep
from vidsearch.records import FrameSpec
from vidsearch.store.library import library_exists, open_library

if TYPE_CHECKING:
    from vidsearch.video.interface import VideoReader

_SIDE_PX = 64
_FRAMES = 24
_RATE = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """One part: `ok` False when something has to be done, None when there is nothing to check."""

    part: str
    ok: bool | None
    note: str


def check_up(home: Path, models_dir: Path) -> Iterator[Checked]:
    """Try the decoders, every model that is here, the device, the database and the search index."""
    let_waiting_threads_sleep()  # as when indexing, which is measured here
    yield from _tried("decoders", _decoders)
    from vidsearch.models.inventory import entries

    for entry in entries(models_dir):
        if entry.path is not None:
            yield from _tried(f"model {entry.known.name}", partial(_model, entry.known.name, models_dir))
    yield from _tried("device", partial(_device, models_dir))
    for entry in entries(models_dir):
        if entry.path is not None and entry.known.task == "embedding":
            part = "runtime" if entry.state == "bundled" else f"runtime {entry.known.name}"
            yield from _tried(part, partial(_runtimes, entry.known.name, models_dir))
    if not installed("hnswlib"):
        yield Checked("hnswlib", None, "not installed: very large libraries search by codes alone, without a graph")
    if not library_exists(home):  # installed models may lie in the same folder
        yield Checked("library", None, f"none yet in {home}; vidsearch index FOLDER makes one")
        return
    yield from _library(home)


def _tried(part: str, check: Callable[[], str]) -> Iterator[Checked]:
    """What a check says, or the sentence with which it fails."""
    try:
        yield Checked(part, True, check())
    except MissingExtraError as error:  # an installation that only searches is not a broken one
        yield Checked(part, None, str(error))
    except VidsearchError as error:
        yield Checked(part, False, str(error))


def _decoders() -> str:
    """The readers that are installed read a clip that is written here, and its frames are the right ones."""
    import av

    from vidsearch.video.header import probe
    from vidsearch.video.pyav_reader import PyavReader

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        _write_clip(path)
        header, spec = probe(path), FrameSpec(_SIDE_PX)
        with PyavReader(path, header, spec) as pyav:
            _require_right("PyAV", pyav)
            if not installed("decord"):
                return f"PyAV {av.__version__} reads a clip made here, and every other video: decord is not installed"
            import decord

            from vidsearch.video.decord_reader import DecordReader

            with DecordReader(path, header, spec, lambda: pyav) as from_decord:
                _require_right("decord", from_decord)
    return f"decord {decord.__version__} and PyAV {av.__version__} read a clip made here, frame by frame"


def _require_right(name: str, reader: VideoReader) -> None:
    times = [(number + 0.5) / _RATE for number in range(_FRAMES)]
    brightness = [float(frame.mean()) for frame in reader.frames_at(times)]
    if not all(np.diff(brightness) > 0):
        raise VidsearchError(f"{name} reads wrong frames of a clip made here; install it again")


def _write_clip(path: Path) -> None:
    """Grey pictures that get brighter."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=_RATE)
        stream.width = stream.height = _SIDE_PX
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, _RATE)
        for number in range(_FRAMES):
            picture = np.full((_SIDE_PX, _SIDE_PX, 3), 20 + 9 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _model(name: str, models_dir: Path) -> str:
    """The files are whole and the model passes its self-test."""
    from vidsearch.models.findings import require
    from vidsearch.models.folder import find_model
    from vidsearch.models.hashes import wrong_files

    folder = find_model(name, models_dir)
    changed = wrong_files(folder)
    if changed:
        raise VidsearchError(f"{'; '.join(changed)} in {folder.path}; install {name} again")
    if folder.family.task == "embedding" and not installed("torch"):
        _require_words(name, models_dir)
        return "files whole, the text encoder answers; torch, which the rest of the self-test needs, is not installed"
    findings = folder.family.self_test(folder)
    require(findings, name)
    return f"files whole, self-test passed; {findings[-1].what}: {findings[-1].note}"


def _require_words(name: str, models_dir: Path) -> None:
    """The text encoder makes unit vectors."""
    from vidsearch.embedding.embedder import open_text_embedder

    vector = open_text_embedder(name, models_dir=models_dir).embed(["a dog"])[0]
    if not abs(float(np.linalg.norm(vector)) - 1.0) < 1e-3:
        raise VidsearchError(f"the text encoder of {name} gives no unit vector; install the model again")


def _device(models_dir: Path) -> str:
    """What `--device auto` gives, and why."""
    from vidsearch.embedding.embedder import open_clip_embedder
    from vidsearch.models.registry import BUNDLED_MODEL

    return open_clip_embedder(BUNDLED_MODEL, models_dir=models_dir).device


def _runtimes(name: str, models_dir: Path) -> str:
    from vidsearch.workflows.runtimes import measured_runtimes  # late: it needs ONNX Runtime

    return measured_runtimes(name, models_dir)


def _library(home: Path) -> Iterator[Checked]:
    try:
        with open_library(home, create=False) as library:
            problems = library.check()
            facts = library.info()
    except VidsearchError as error:
        yield Checked("library", False, str(error))
        return
    yield from (Checked("library", False, problem) for problem in problems)
    if not problems:
        yield Checked("library", True, f"{home}: database and search index whole, {facts.indexed} videos indexed")
