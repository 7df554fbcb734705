"""A checkpoint of MobileCLIP or MobileViCLIP, or a trained network → the files of a model folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import read_checkpoint, read_folder
from vidsearch.models.conversion.export import export_text_encoder
from vidsearch.models.conversion.fit import Fitted, fit
from vidsearch.models.conversion.install import installed_beside
from vidsearch.models.findings import Finding, require
from vidsearch.models.folder import (
    CARD_FILE,
    CONFIG_FILE,
    TEXT_FILE,
    WEIGHTS_FILE,
    ModelFolder,
    config_text,
    open_folder,
)
from vidsearch.models.mobileviclip.config import MobileCLIPConfig
from vidsearch.models.mobileviclip.load import Network, empty_network, fill
from vidsearch.models.mobileviclip.tokenizer import tokenize
from vidsearch.models.request import ConversionRequest, Dtype
from vidsearch.models.selftest.retrieval import TEXTS, clip_vectors, examine, moving_and_still

HALF_COSINE = 0.9999  # of vectors from half-precision weights with those from the weights given


def convert(request: ConversionRequest, folder: Path) -> list[Finding]:
    """Read the published weights, write the files of a model folder, and examine the result."""
    fitted = _fitted(request)
    provenance = request.provenance(fitted.files, fitted.notes)
    dtype: Dtype = "float16" if request.dtype == "float16" else "float32"
    return _write_files(_filled(fitted), folder, provenance=provenance, dtype=dtype)


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
    with installed_beside(folder, network.config.name) as (partial, findings):
        if card is not None:
            (partial / CARD_FILE).write_text(card, encoding="utf-8")
        findings += _write_files(network, partial, provenance=provenance, dtype=dtype, score_levels=score_levels)
    return open_folder(folder)


def _fitted(request: ConversionRequest) -> Fitted:
    source = request.source
    checkpoints = read_folder(source) if source.is_dir() else [read_checkpoint(source)]
    return fit(request.name, checkpoints, renames=request.renames, folded=request.folded)


def _filled(fitted: Fitted) -> Network:
    network = empty_network(fitted.config)
    fill(network, fitted.tensors, file=str(fitted.files[0]))
    return network


def _write_files(
    network: Network,
    folder: Path,
    *,
    provenance: Mapping[str, Any],
    dtype: Dtype,
    score_levels: Mapping[str, float] | None = None,
) -> list[Finding]:
    config = network.config
    state = _stored(network, dtype)
    save_file(state, folder / WEIGHTS_FILE)
    text = config_text(config.name, config.family, config.to_dict(), provenance, score_levels)
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    shutil.copymode(folder / CONFIG_FILE, folder / WEIGHTS_FILE)  # save_file makes it private to the user
    stored = _network_of(config, state)
    inference = stored.reparameterize()
    export_text_encoder(inference.text_encoder.state_dict(), config.text, folder / TEXT_FILE)
    findings = examine(stored, inference, folder / TEXT_FILE)
    require(findings, config.name)
    if dtype == "float16":
        _check_rounding(_network_of(config, _stored(network, "float32")), stored)
    return findings


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
