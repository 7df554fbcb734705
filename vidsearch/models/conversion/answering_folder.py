"""Mobile-VideoGPT's published parts → the files of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.fit_videogpt import FittedParts, fit_parts
from vidsearch.models.conversion.stream_save import save_streamed
from vidsearch.models.findings import Finding
from vidsearch.models.folder import CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILE, WEIGHTS_FILE, config_text, open_folder
from vidsearch.models.request import ConversionRequest, Precision
from vidsearch.models.selftest.answers import self_test_of_answers
from vidsearch.models.tokenizer_files import generation_settings, generation_text, read_tokenizer, rows_needed

_VIDEO_ENCODER = "model.vision_tower."
_STORABLE = (torch.float32, torch.float16, torch.bfloat16)


def convert(request: ConversionRequest, folder: Path) -> list[Finding]:
    """Read the published parts, write the files of a model folder, and examine the result.

    The published files stay mapped, and are copied tensor by tensor.
    """
    name, source = request.name, request.source
    if not source.is_dir():
        raise ModelError(f"{source} is one file of several; give the folder that holds the files of {name}")
    fitted = fit_parts(name, source)
    write_files(name, fitted, folder, request.provenance(fitted.files, fitted.notes), request.dtype)
    del fitted  # the published files are let go before the new one is examined
    return self_test_of_answers(open_folder(folder))


def write_files(
    name: str,
    fitted: FittedParts,
    folder: Path,
    provenance: Mapping[str, Any],
    dtype: Precision,
) -> None:
    """Write config, tokenizer, generation settings and weights into `folder`, which is there; its self-test is not run.

    `dtype` "float16" rounds matrices and kernels, but for the video encoder, whose scan multiplies errors up over
    thousands of steps and which the reference keeps in float32 too; "stored" keeps what each file has. ModelError
    for a tokenizer that is not the network's, and for values that are not finite.
    """
    tokenizer = read_tokenizer(fitted.repository)
    rows = fitted.config.language_model.vocab_size
    if rows_needed(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer in {fitted.repository} has {rows_needed(tokenizer)} tokens and the embedding table "
            f"{rows} rows; get tokenizer and weights from one repository"
        )
    settings = generation_settings(fitted.repository, tokenizer)
    text = config_text(name, "mobilevideogpt", asdict(fitted.config), provenance)
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    (folder / GENERATION_FILE).write_text(generation_text(settings), encoding="utf-8")
    save_streamed(fitted.tensors, folder / WEIGHTS_FILE, _RULES[dtype], file_of=fitted.file_of)


def _float32(key: str, tensor: Tensor) -> torch.dtype:
    return torch.float32


def _float16(key: str, tensor: Tensor) -> torch.dtype:
    return torch.float16 if tensor.ndim > 1 and not key.startswith(_VIDEO_ENCODER) else torch.float32


def _stored(key: str, tensor: Tensor) -> torch.dtype:
    return tensor.dtype if tensor.dtype in _STORABLE else torch.float32


_RULES = {"float32": _float32, "float16": _float16, "stored": _stored}
