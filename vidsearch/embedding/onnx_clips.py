"""Frames → vectors with ONNX Runtime: an export of the model's clip tower (docs/mobile.md). No torch.

The export is looked for in the folder of exports beside the installed models. Where it is missing and torch is there,
it is made. It is used only if its card belongs to the installed weights and it gives torch's vectors, which the card
holds: what it makes may stand in one library with vectors from torch.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from filelock import FileLock
from numpy.typing import NDArray

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.extras import installed
from vidsearch.files import why_not_writable
from vidsearch.machine import cores
from vidsearch.models.exports import (
    Card,
    ExportPrecision,
    card_path,
    content_sha256,
    export_name,
    exports_dir,
    fidelity,
    read_card,
)
from vidsearch.models.folder import WEIGHTS_FILE, ModelFolder
from vidsearch.models.hashes import kept_hashes
from vidsearch.models.interface import EmbeddingConfig
from vidsearch.models.numpy_pixels import drawn_clips, normalised_clips
from vidsearch.models.preprocessing import Preprocessing
from vidsearch.records import Runtime

BATCH_CLIPS = 4
AGREE_COSINE = 0.9999  # with torch in float32: what one library may mix
_PROVED_CLIPS = 2  # of the four in the card: more would cost a large model seconds at each start
_USED: tuple[ExportPrecision, ...] = ("fp32", "fp16")


class OnnxClipEmbedder:
    """A `ClipEmbedder` over an exported clip tower, on the CPU."""

    runtime = Runtime("onnx", "float32")  # whatever precision the file's weights have

    def __init__(self, folder: ModelFolder, models_dir: Path, *, threads: int | None = None) -> None:
        """ModelError where there is no export and no torch to make one, or the export is not the model's."""
        config = folder.embedding
        self.model = folder.name
        self.dim = config.embed_dim
        self.frame_spec = config.preprocessing.frame_spec
        self.frames = config.preprocessing.frames
        self.path = find_or_export(folder, models_dir)
        card = read_card(self.path)
        _check_file(self.path, card, folder)
        threads = threads or cores()
        self._tower = OnnxTower(self.path, config.preprocessing, threads)
        self.agreement = self._proved(card, config.preprocessing)
        self.device = (
            f"cpu (ONNX Runtime {onnxruntime.__version__}, {threads} thread{'s' if threads > 1 else ''}; "
            f"vectors as torch's: cosine {self.agreement:.6f})"
        )

    def embed(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `ClipEmbedder.embed`. ValueError for another shape, ModelError for values that are not finite."""
        wanted = (self.frames, self.frame_spec.side_px, self.frame_spec.side_px, 3)
        if clips.dtype != np.uint8 or clips.shape[1:] != wanted:
            raise ValueError(f"{self.model} takes uint8 clips (B, {wanted}), not {clips.dtype} {clips.shape}")
        vectors = self._tower.run(clips) if len(clips) else np.empty((0, self.dim), np.float32)
        if not np.isfinite(vectors).all():
            raise ModelError(f"{self.path} gives vectors that are not finite; export {self.model} again")
        return vectors

    def _proved(self, card: Card, preprocessing: Preprocessing) -> float:
        """The lowest cosine with torch's vectors. ModelError below the level."""
        expected = np.array(card.expected[:_PROVED_CLIPS], np.float32)
        found = fidelity(self._tower.run(drawn_clips(preprocessing, len(expected))), expected)
        if not len(expected) or found.cosine < AGREE_COSINE:
            raise ModelError(
                f"{self.path} does not give torch's vectors (cosine {found.cosine:.6f}); export {self.model} again"
            )
        return found.cosine


class OnnxTower:
    """A clip tower in ONNX Runtime, whatever vectors it gives."""

    def __init__(self, path: Path, preprocessing: Preprocessing, threads: int) -> None:
        """ModelError where the runtime does not open the file, which is read whole."""
        self._path = path
        self._preprocessing = preprocessing
        self._session = _open(path, threads)
        self._input = self._session.get_inputs()[0].name

    def run(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, T, H, W, 3) RGB → (B, E), B not 0. ModelError where the runtime fails."""
        batches = [clips[first : first + BATCH_CLIPS] for first in range(0, len(clips), BATCH_CLIPS)]
        return np.concatenate([self._run(batch) for batch in batches])

    def _run(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._session.run(None, {self._input: normalised_clips(clips, self._preprocessing)})[0])
        except Exception as error:  # the runtime has no base class of its own; the graph is at fault, or memory
            reason = str(error).partition("\n")[0][:200]
            raise ModelError(f"the clip tower {self._path} fails ({reason}); export the model again") from error


def open_draft(folder: ModelFolder) -> OnnxTower:
    """The clip tower as an export would run it, to be timed: written, opened and deleted, but not proved.

    What takes the most time of an export that is kept is its proof: four clips, one by one, there and in torch.
    VidsearchError for a model that cannot be exported.
    """
    from vidsearch.models.conversion.mobile.targets import target_named  # late: it needs torch
    from vidsearch.models.conversion.mobile.tower import open_tower

    tower, exporter = open_tower(folder, "clip"), target_named("onnx").open()
    try:
        with TemporaryDirectory(prefix="vidsearch-draft-") as place:
            path = Path(place) / export_name(folder.name, "clip", "fp32", ".onnx")
            exporter.write(tower, "fp32", path)
            return OnnxTower(path, folder.embedding.preprocessing, cores())
    except OSError as error:
        raise VidsearchError(f"no draft of {folder.name} can be written ({error.strerror}); free some disk") from error


def find_export(folder: ModelFolder, models_dir: Path) -> Path | None:
    """The exported clip tower of a model that belongs to its weights, the most exact one; None if there is none."""
    for precision in _USED:
        path = exports_dir(models_dir, folder.name) / export_name(folder.name, "clip", precision, ".onnx")
        if path.is_file() and card_path(path).is_file() and _belongs(read_card(path), folder):
            return path
    return None


def find_or_export(folder: ModelFolder, models_dir: Path) -> Path:
    """The same; where there is none and torch is here, it is written now. ModelError, with the ways, else."""
    found = find_export(folder, models_dir)
    if found is not None:
        return found
    place = exports_dir(models_dir, folder.name)
    if not installed("torch"):
        raise ModelError(
            f"there is no ONNX clip tower of {folder.name} in {place}, and no torch on this machine to make one",
            ways=(
                f"vidsearch models export {folder.name} --to onnx --towers clip -o DIR    (where torch is; "
                f"then copy DIR to {place})",
                "pip install 'vidsearch[index]'    (here)",
            ),
        )
    from vidsearch.models.conversion.mobile.export import export_model  # late: it needs torch

    if why := why_not_writable(place):
        raise VidsearchError(f"the folder {place} {why}; set VIDSEARCH_MODEL_DIR to one that may be written")
    with FileLock(place / ".export.lock"):
        (exported,) = export_model(folder, "onnx", ("clip",), "fp32", place)
    return exported.path


def is_exported(folder: ModelFolder, models_dir: Path) -> bool:
    """Whether there is an export that belongs to the weights and whose card can be read."""
    try:
        return find_export(folder, models_dir) is not None
    except ModelError:
        return False


def _belongs(card: Card, folder: ModelFolder) -> bool:
    return card.model == folder.name and card.weights_sha256 == kept_hashes(folder).get(WEIGHTS_FILE)


def _check_file(path: Path, card: Card, folder: ModelFolder) -> None:
    """ModelError unless the file is the card's and its graph may be run."""
    if content_sha256(path) != card.sha256:
        raise ModelError(f"{path} has changed since it was exported; export {folder.name} again")
    if not installed("onnx"):
        raise ModelError(f"the clip tower {path} must be examined before it is run, which needs: pip install onnx")
    from vidsearch.models.onnx_check import check_graph  # late: an installation without extras has no onnx

    try:
        check_graph(path, {"clip": _largest_input(folder.embedding)}, folder.embedding.embed_dim)
    except ModelError as error:
        raise ModelError(f"the clip tower {path} is not run: {error}; export {folder.name} again") from error


def _largest_input(config: EmbeddingConfig) -> NDArray[np.float32]:
    wanted = config.preprocessing
    shape = (BATCH_CLIPS, wanted.frames, 3, wanted.side_px, wanted.side_px)
    return np.broadcast_to(np.float32(0), shape)


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a decoder may want the core
    options.log_severity_level = 3  # errors alone; they come as exceptions
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # no base class of its own; whatever it is, the file is at fault
        raise ModelError(f"the clip tower {path} cannot be opened ({error}); export the model again") from error
