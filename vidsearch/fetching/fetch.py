"""The files of one model: what is to be fetched, whether it fits, and bringing it.

    plan_published / plan_repository ─▶ FetchPlan ─▶ fetch ─▶ folder of verified files ─▶ (install) ─▶ finish

Everything lies in `.downloads/NAME` in the folder of models until the model is installed; what a cut leaves there is
used by the next fetch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vidsearch.errors import ModelError
from vidsearch.fetching import first_seen, hub, packages, published, repository, web
from vidsearch.fetching.remote import FetchedFile, RemoteFile, Report, RetryPolicy, Waiting, report_nothing
from vidsearch.fetching.transfer import STATE_FOLDER, fetch_file, remaining_bytes
from vidsearch.files import why_not_writable
from vidsearch.models.families import FAMILIES
from vidsearch.models.registry import (
    HubSource,
    KnownModel,
    WeightFile,
    WeightRepository,
    Weights,
    known_model,
)

_DOWNLOADS = ".downloads"
_UNKNOWN_LICENCE = "not known; read its page"


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What a fetch will bring, as the hosts announced it."""

    model: str
    files: tuple[RemoteFile, ...]
    licence: str
    models_dir: Path
    ours: bool = False  # the files are a model folder already

    @property
    def folder(self) -> Path:
        """Where the files arrive."""
        return self.models_dir / _DOWNLOADS / self.model

    @property
    def size_bytes(self) -> int:
        """Of the files whose hosts tell their size."""
        return sum(file.size_bytes or 0 for file in self.files)

    def installed_bytes(self, *, narrow: bool = False) -> int:
        """What the model made of the files takes, see `Family.installed_bytes`."""
        if self.ours:
            return self.size_bytes
        family = FAMILIES[known_model(self.model).family]
        return family.installed_bytes({file.name: file.size_bytes or 0 for file in self.files}, narrow=narrow)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Whole, verified files, ready to be installed from `folder`."""

    plan: FetchPlan
    files: tuple[FetchedFile, ...]

    @property
    def folder(self) -> Path:
        return self.plan.folder

    def provenance(self) -> list[dict[str, Any]]:
        """For the model's config.json, a row for each file; `hash_published` False: only we have seen this hash."""
        return [
            {
                "name": file.remote.name,
                "source": file.remote.source,
                "url": web.shown(file.remote.url),
                "etag": file.remote.etag,
                "size_bytes": file.path.stat().st_size,
                "sha256": file.sha256,
                "hash_published": file.hash_published,
                "date": first_seen.today(),
            }
            for file in self.files
        ]


def plan_published(
    model: str, models_dir: Path, policy: RetryPolicy = RetryPolicy(), report: Report = report_nothing
) -> FetchPlan:
    """What the published files of a known model are. Asks their hosts and reads no file.

    ModelError if the environment forbids the network, a model has no files, or a host does not have them.
    """
    known = known_model(model)
    if not known.weights:
        raise ModelError(f"{model} comes with vidsearch; there is nothing to fetch")
    web.require_network(model)
    files = tuple(file for weights in known.weights for file in published.describe_all(weights, policy, report))
    return FetchPlan(model, files, known.licence, models_dir)


def plan_repository(
    name: str, model: str | None, models_dir: Path, policy: RetryPolicy = RetryPolicy(), report: Report = report_nothing
) -> FetchPlan:
    """The same for a repository on Hugging Face, in a published layout or in ours; `model` None: its files tell."""
    web.require_network(name)
    names = web.retried(lambda: hub.files_of(name, policy.timeout_s), policy, report)
    config = web.retried(lambda: repository.config_of(name, names, policy.timeout_s), policy, report)
    found = known_model(repository.require_model(name, names, config, model))
    if not found.weights:
        raise ModelError(f"{found.name} comes with vidsearch; there is nothing to fetch")
    ours = repository.is_ours(config, names)
    weights = _weights_in(name, found, names, ours=ours)
    files = tuple(file for item in weights for file in published.describe_all(item, policy, report))
    licence = found.licence if found.comes_from(name) else _UNKNOWN_LICENCE
    return FetchPlan(found.name, files, licence, models_dir, ours)


def _weights_in(name: str, known: KnownModel, names: Sequence[str], *, ours: bool) -> list[Weights]:
    """What to take of a repository for a known model, and, for one that answers, of its authors' other repositories."""
    first, *others = known.weights
    if isinstance(first, WeightRepository) and not ours:
        return [replace(first, repository=name), *others]
    wanted = repository.own_files(names) if ours else repository.wanted_files(name, known.name, names)
    return [WeightFile(file, (HubSource(name),), 0) for file in wanted]


def fetch(
    plan: FetchPlan,
    policy: RetryPolicy = RetryPolicy(),
    report: Report = report_nothing,
    *,
    accept_changed: bool = False,
    force: bool = False,
    narrow: bool = False,
) -> Fetched:
    """Bring the files of a plan. ModelError when they do not fit on the disk, or one cannot be had or is wrong.

    What an earlier call brought is used; with `force`, only what has its published hash. `narrow`: the model will not
    be wider than its files, see `FetchPlan.installed_bytes`.
    """
    _make(plan.folder)
    if force:
        _drop_unproven(plan)
    _require_room(plan, plan.installed_bytes(narrow=narrow))
    files = []
    for remote in plan.files:
        file = _fetch_one(remote, plan.folder, report, policy)
        if not accept_changed:
            _require_same(plan, file)
        files.append(file)
    _clear_others(plan.folder, {file.path for file in files})
    return Fetched(plan, tuple(files))


def _fetch_one(remote: RemoteFile, folder: Path, report: Report, policy: RetryPolicy) -> FetchedFile:
    if remote.url.startswith(packages.SCHEME):
        return packages.download(remote, folder, report)
    return fetch_file(remote, folder, report, policy)


def finish(fetched: Fetched) -> None:
    """After the model was installed: remember what came without a published hash, and delete the files."""
    first_seen.remember(fetched.plan.models_dir, fetched.files)
    shutil.rmtree(fetched.folder)


@contextmanager
def model_lock(model: str, models_dir: Path, on_wait: Report) -> Iterator[None]:
    """One fetch of a model at a time; a second one waits, after telling `on_wait`."""
    _make(models_dir / _DOWNLOADS)
    lock = FileLock(models_dir / _DOWNLOADS / f"{model}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait(Waiting(0.0, f"another vidsearch is fetching {model}; this one waits for it"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _drop_unproven(plan: FetchPlan) -> None:
    """Whole files of an earlier fetch that no published hash vouches for: they may have been damaged on their way."""
    for file in plan.files:
        if not file.hash_published:
            (plan.folder / file.name).unlink(missing_ok=True)


def _require_room(plan: FetchPlan, installed_bytes: int) -> None:
    """For what is still to come, and for the model that is made of the files."""
    needed = sum(remaining_bytes(file, plan.folder) for file in plan.files) + installed_bytes
    free = shutil.disk_usage(plan.folder).free
    if free < needed:
        raise ModelError(
            f"{plan.model} needs {needed / 1e9:.1f} GB in {plan.models_dir} and {free / 1e9:.1f} GB are free",
            ways=("make room", "set VIDSEARCH_MODEL_DIR to a folder on another disk"),
        )


def _require_same(plan: FetchPlan, file: FetchedFile) -> None:
    try:
        first_seen.require_same(plan.models_dir, file)
    except ModelError:
        file.path.unlink()
        raise


def _clear_others(folder: Path, wanted: set[Path]) -> None:
    """Files of an earlier fetch from elsewhere: they would be read as part of this model."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in wanted and path.parent.name != STATE_FOLDER:
            path.unlink()


def _make(folder: Path) -> None:
    if why := why_not_writable(folder):
        raise ModelError(f"{folder} {why}; set VIDSEARCH_MODEL_DIR to another")
