"""Published files, or a model folder → an installed model folder that has passed its self-test.

A folder is written beside its place, checked, and renamed: a half-installed model does not exist. The family of the
model converts and examines (`families.py`); what a wrong file passes last is its self-test.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError

from vidsearch.errors import ModelError
from vidsearch.files import replacing_folder, restore_folder, why_not_writable
from vidsearch.models.families import family_named
from vidsearch.models.findings import Finding, SelfTestError, require, write_findings
from vidsearch.models.folder import (
    BUNDLED_DIR,
    CONFIG_FILE,
    SELF_TEST_FILE,
    ModelFolder,
    config_text,
    is_model_folder,
    open_folder,
)
from vidsearch.models.hashes import write_hashes
from vidsearch.models.registry import known_model, require_storable
from vidsearch.models.request import ConversionRequest, Precision, fetched_note
from vidsearch.models.soundness import check_files, remember_sound


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

    `renames` and `folded` override the reading of keys whose names are not public (`fit.py`); `dtype` is that of the
    stored weights, in which a family's converter may except parts; a model folder is taken as it is. `fetched` says
    for each file which host it came from; it is kept in the provenance under that name. An installed model of that
    name is replaced. ModelError, with nothing left behind, for all that is not the model.
    """
    request = ConversionRequest(name, source, dtype, renames, folded, fetched)
    _require_possible(request)
    _make(models_dir)
    with FileLock(models_dir / ".install.lock"):
        restore_folder(models_dir / name)
        target = models_dir / name
        try:
            with installed_beside(target, name) as (partial, findings):
                findings += (_copy_folder if is_model_folder(source) else _convert)(request, partial)
        except SelfTestError as error:
            raise ModelError(f"{source} cannot be used: {error}") from error
        return open_folder(target, origin="installed")


def _require_possible(request: ConversionRequest) -> None:
    """ModelError for what can be told before a file is read."""
    name, source = request.name, request.source
    family = family_named(known_model(name).family)
    if (BUNDLED_DIR / name).is_dir():
        raise ModelError(f"{name} comes with vidsearch and cannot be replaced; it needs no installing")
    if not (source.is_file() or source.is_dir()):  # nor a pipe, which would never end
        raise ModelError(f"there is no {source}; give the weight file of {name}, or the folder that holds it")
    if request.options - family.options or (request.options and is_model_folder(source)):
        raise ModelError(f"the names in {source} are those of {name}; leave out --renames, --folded and --unfolded")
    if not is_model_folder(source):
        require_storable(name, request.dtype)


def _convert(request: ConversionRequest, partial: Path) -> Sequence[Finding]:
    return family_named(known_model(request.name).family).convert(request, partial)


def _copy_folder(request: ConversionRequest, partial: Path) -> list[Finding]:
    """Copy a model folder, and examine the copy as a new one."""
    given = open_folder(request.source)
    if given.name != request.name:
        raise ModelError(
            f"{request.source} holds the model {given.name}, not {request.name}; install it as {given.name}"
        )
    for file in sorted(request.source.iterdir()):
        if file.is_file():
            shutil.copyfile(file, partial / file.name)
    if request.fetched:
        provenance = {**given.provenance, **fetched_note(request.fetched)}
        text = config_text(given.name, given.family.name, given.network, provenance, given.score_levels)
        (partial / CONFIG_FILE).write_text(text, encoding="utf-8")
    copy = open_folder(partial)
    check_files(copy)
    return copy.family.self_test(copy)


@contextmanager
def installed_beside(folder: Path, name: str) -> Iterator[tuple[Path, list[Finding]]]:
    """An empty folder for the model `name`, and a list for what its self-test finds.

    It takes the place of `folder` if the block ends well.
    SelfTestError for a finding that is wrong, ModelError if the disk fails; `folder` then stays as it was.
    """
    findings: list[Finding] = []
    with _written_beside(folder) as partial:
        yield partial, findings
        require(findings, name)
        write_findings(partial / SELF_TEST_FILE, findings)
        write_hashes(partial)
    remember_sound(open_folder(folder))


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
