"""A checkpoint file, or a trained network → a model folder that has proved itself.

A folder is written beside its place, checked, and renamed: a half-installed model does not exist. The checks are those
that a wrong file passes last: finite vectors of unit length, folded forms equal to the training form, ONNX equal to
torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.files import replacing_folder, restore_folder, sha256, why_not_writable
from vidsearch.models.conversion.checkpoint import read_checkpoint, read_folder
from vidsearch.models.conversion.export import export_text_encoder
from vidsearch.models.conversion.fit import Fitted, fit
from vidsearch.models.folder import (
    BUNDLED_DIR,
    CARD_FILE,
    CONFIG_FILE,
    HASHES_FILE,
    SELF_TEST_FILE,
    TEXT_FILE,
    WEIGHTS_FILE,
    ModelFolder,
    config_text,
    is_model_folder,
    open_folder,
)
from vidsearch.models.load import Network, empty_network, fill
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig, MobileViCLIPConfig
from vidsearch.models.mobileviclip.tokenizer import tokenize
from vidsearch.models.registry import known_model, require_storable
from vidsearch.models.selftest import self_test
from vidsearch.models.selftest.findings import Finding, SelfTestError, require, write_findings
from vidsearch.models.selftest.retrieval import TEXTS, clip_vectors, examine, moving_and_still

Dtype = Literal["float32", "float16"]
Precision = Dtype | Literal["stored"]  # as the published files have it
HALF_COSINE = 0.9999  # of vectors from half-precision weights with those from the weights given


def install(
    name: str,
    source: Path,
    models_dir: Path,
    *,
    renames: Mapping[str, str] | None = None,
    folded: bool | None = None,
    dtype: Precision = "float32",
    fetched: Sequence[Mapping[str, Any]] = (),
) -> ModelFolder:
    """Read the weights of `name` from a file, a folder of files or a model folder, and install them in `models_dir`.

    `renames` and `folded` override the reading of keys whose names are not public (`fit.py`); `dtype` as in
    `write_model_folder` and, for a model that answers, in `answering_folder.write_files`; a model folder is taken as
    it is. `fetched` says for each file which host it came from; it is kept in the provenance under that name. An
    installed model of that name is replaced. ModelError, with nothing left behind, for all that is not the model.
    """
    known_model(name)
    if (BUNDLED_DIR / name).is_dir():
        raise ModelError(f"{name} comes with vidsearch and cannot be replaced; it needs no installing")
    if not source.exists():
        raise ModelError(f"there is no {source}; give the weight file of {name}, or the folder that holds it")
    if (renames or folded is not None) and not _is_matched(name, source):
        raise ModelError(f"the names in {source} are those of {name}; leave out --renames, --folded and --unfolded")
    _make(models_dir)
    with FileLock(models_dir / ".install.lock"):
        restore_folder(models_dir / name)
        try:
            if is_model_folder(source):
                return _install_folder(name, source, models_dir / name, fetched)
            if known_model(name).kind == "answers":
                return _install_parts(name, source, models_dir / name, dtype, fetched)
            require_storable(name, dtype)
            fitted = _fitted(name, source, renames, folded)
            provenance = _provenance(name, source, fitted.files, fitted.notes, fetched)
            narrow: Dtype = "float16" if dtype == "float16" else "float32"
            write_model_folder(_filled(fitted), models_dir / name, provenance=provenance, dtype=narrow)
            return open_folder(models_dir / name, origin="installed")
        except SelfTestError as error:
            raise ModelError(f"{source} cannot be used: {error}") from error


def _is_matched(name: str, source: Path) -> bool:
    """Whether keys of the published files have names that are not public."""
    return isinstance(CONFIGS.get(name), MobileViCLIPConfig) and not is_model_folder(source)


def _fitted(name: str, source: Path, renames: Mapping[str, str] | None, folded: bool | None) -> Fitted:
    checkpoints = read_folder(source) if source.is_dir() else [read_checkpoint(source)]
    return fit(name, checkpoints, renames=renames, folded=folded)


def _filled(fitted: Fitted) -> Network:
    network = empty_network(fitted.config)
    fill(network, fitted.tensors, file=str(fitted.files[0]))
    return network


def _provenance(
    name: str, source: Path, files: Sequence[Path], notes: Sequence[str], fetched: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    top = source if source.is_dir() else source.parent  # files of one name may lie in several folders below it
    return {
        "files": [{"name": path.relative_to(top).as_posix(), "sha256": sha256(path)} for path in files],
        "source": known_model(name).source,
        "licence": known_model(name).licence,
        "notes": list(notes),
        **_fetched_note(fetched),
    }


def _install_parts(
    name: str, source: Path, target: Path, dtype: Precision, fetched: Sequence[Mapping[str, Any]]
) -> ModelFolder:
    """The published files of a model that answers → its folder. They stay mapped, and are copied tensor by tensor."""
    from vidsearch.models.conversion.answering_folder import (
        write_files,  # late, as the tokenizers library: searching needs none
    )
    from vidsearch.models.conversion.fit_videogpt import fit_parts

    if not source.is_dir():
        raise ModelError(f"{source} is one file of several; give the folder that holds the files of {name}")
    fitted = fit_parts(name, source)
    provenance = _provenance(name, source, fitted.files, fitted.notes, fetched)
    with _written_beside(target) as partial:
        write_files(name, fitted, partial, provenance, dtype)
        del fitted  # the published files are let go before the new one is examined
        _prove_folder(partial)
    return open_folder(target, origin="installed")


def write_model_folder(
    network: Network,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    dtype: Dtype = "float32",
    score_levels: Mapping[str, float] | None = None,
    card: str | None = None,
) -> ModelFolder:
    """Write a network in its training form as the model folder `folder`, which is replaced; its config names it.

    `dtype` "float16" halves the file: matrices and kernels are rounded, everything with one axis (norms, biases,
    running statistics) stays float32. `card` is the text of MODEL_CARD.md. ModelError when the checks fail.
    """
    config = network.config
    with _written_beside(folder) as partial:
        state = _stored(network, dtype)
        save_file(state, partial / WEIGHTS_FILE)
        text = config_text(config.name, config.to_dict(), provenance, score_levels)
        (partial / CONFIG_FILE).write_text(text, encoding="utf-8")
        shutil.copymode(partial / CONFIG_FILE, partial / WEIGHTS_FILE)  # save_file makes it private to the user
        if card is not None:
            (partial / CARD_FILE).write_text(card, encoding="utf-8")
        stored = _network_of(config, state)
        inference = stored.reparameterize()
        export_text_encoder(inference.text_encoder.state_dict(), config.text, partial / TEXT_FILE)
        _prove(stored, inference, partial)
        if dtype == "float16":
            _check_rounding(_network_of(config, _stored(network, "float32")), stored)
    return open_folder(folder)


def _fetched_note(fetched: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"fetched": [dict(file) for file in fetched]} if fetched else {}


def _install_folder(name: str, source: Path, target: Path, fetched: Sequence[Mapping[str, Any]]) -> ModelFolder:
    """Copy a model folder after the same checks as a new one."""
    given = open_folder(source)
    if given.name != name:
        raise ModelError(f"{source} holds the model {given.name}, not {name}; install it as {given.name}")
    with _written_beside(target) as partial:
        for file in sorted(source.iterdir()):
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
        if fetched:
            provenance = {**given.provenance, **_fetched_note(fetched)}
            text = config_text(name, given.network, provenance, given.score_levels, given.kind)
            (partial / CONFIG_FILE).write_text(text, encoding="utf-8")
        _prove_folder(partial)
    return open_folder(target, origin="installed")


def _prove_folder(partial: Path) -> None:
    """The self-test and the hashes of a folder that is about to be installed; ModelError where the test fails."""
    folder = open_folder(partial)
    _keep(self_test(folder), folder.name, partial)


def _prove(network: Network, inference: Network, partial: Path) -> None:
    """As `_prove_folder`, for a network that is loaded already."""
    _keep(examine(network, inference, partial / TEXT_FILE), network.config.name, partial)


def _keep(findings: Sequence[Finding], name: str, partial: Path) -> None:
    require(findings, name)
    write_findings(partial / SELF_TEST_FILE, findings)
    write_hashes(partial)


def write_hashes(folder: Path) -> None:
    """Keep the SHA-256 of every file of a model folder."""
    hashes = {file.name: sha256(file) for file in _files(folder)}
    (folder / HASHES_FILE).write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


def kept_hashes(folder: ModelFolder) -> dict[str, str]:
    """Name of each file → its SHA-256 when the model was installed. ModelError where that is not known."""
    path = folder.path / HASHES_FILE
    try:
        hashes: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); install {folder.name} again") from error
    return hashes


def wrong_files(folder: ModelFolder) -> list[str]:
    """One sentence for each file that is not what it was when the model was installed. ModelError without hashes."""
    hashes = kept_hashes(folder)
    problems = [f"{name} is missing" for name in sorted(hashes) if not (folder.path / name).is_file()]
    there = [file for file in _files(folder.path) if file.name in hashes]
    return problems + [f"{file.name} has changed" for file in there if sha256(file) != hashes[file.name]]


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != HASHES_FILE]


def _make(folder: Path) -> None:
    if why := why_not_writable(folder):
        raise ModelError(f"the folder {folder} {why}; choose another for models")


@contextmanager
def _written_beside(folder: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `folder` when the block ends well, and vanishes when it does not."""
    _make(folder.parent)
    try:
        with replacing_folder(folder) as partial:
            yield partial
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"the model folder {folder} cannot be written ({why}); make room or choose another") from error


def _stored(network: Network, dtype: Dtype) -> dict[str, Tensor]:
    """The state dict as it goes into the file: on the CPU, integers as they are."""
    state: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        half = dtype == "float16" and tensor.ndim > 1
        kept = tensor if not tensor.is_floating_point() else tensor.half() if half else tensor.float()
        state[key] = kept.detach().cpu().contiguous()
    return state


def _network_of(config: MobileCLIPConfig, state: Mapping[str, Tensor]) -> Network:
    network = empty_network(config)
    fill(network, state, file=f"the state dict of {config.name}")
    return network


@torch.no_grad()
def _check_rounding(exact: Network, rounded: Network) -> None:
    clips, ids = moving_and_still(exact.config), tokenize(TEXTS)
    for want, got in (
        (clip_vectors(exact, clips), clip_vectors(rounded, clips)),
        (exact.encode_text(ids).numpy(), rounded.encode_text(ids).numpy()),
    ):
        cosine = float((want * got).sum(1).min())
        if not cosine >= HALF_COSINE:
            name = exact.config.name
            raise ModelError(f"{name} loses too much as float16 (cosine {cosine:.6f}); store it as float32")
