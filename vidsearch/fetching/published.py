"""Where a published file is to be had now: its sources are asked in their order, and the first that has it is taken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from vidsearch.errors import ModelError
from vidsearch.fetching import drive, hub, packages, web
from vidsearch.fetching.remote import RemoteFile, Report, RetryPolicy
from vidsearch.fetching.repository import weights_among
from vidsearch.fetching.transfer import whole_size
from vidsearch.models.registry import (
    DriveSource,
    HubSource,
    Source,
    WebSource,
    WeightFile,
    WeightPackage,
    WeightRepository,
    Weights,
)

_TRIES_ELSEWHERE = 2  # of a source after which there is another


def describe_all(weights: Weights, policy: RetryPolicy, report: Report) -> list[RemoteFile]:
    """The files that `weights` stands for, named with the folder that they are put in."""
    match weights:
        case WeightFile():
            found = [describe(weights, policy, report)]
        case WeightRepository(repository):
            listed = web.retried(lambda: hub.files_of(repository, policy.timeout_s), policy, report)
            names = weights_among(repository, listed, with_tokenizer=weights.with_tokenizer)
            found = [describe_at(HubSource(repository), WeightFile(name, (), 0), policy, report) for name in names]
        case WeightPackage():
            found = [packages.describe(weights)]
    return [replace(file, name=f"{weights.folder}/{file.name}") if weights.folder else file for file in found]


def describe(file: WeightFile, policy: RetryPolicy, report: Report) -> RemoteFile:
    """The file as the first source that has it announces it; ModelError that says why each source has not."""
    problems: list[ModelError] = []
    for source in file.sources:
        last = source is file.sources[-1]
        tries = policy.tries if last else min(policy.tries, _TRIES_ELSEWHERE)
        try:
            return describe_at(source, file, replace(policy, tries=tries), report)
        except ModelError as error:
            problems.append(error)
    raise _all_failed(problems)


def describe_at(source: Source, file: WeightFile, policy: RetryPolicy, report: Report) -> RemoteFile:
    """The file as one source announces it."""
    found = web.retried(lambda: _ask(source, file.name, policy.timeout_s), policy, report)
    return replace(found, sha256=file.sha256 or found.sha256)


def _ask(source: Source, name: str, timeout_s: float) -> RemoteFile:
    match source:
        case HubSource(repository):
            return hub.describe(repository, name, timeout_s)
        case WebSource():
            return _describe_plain(source, name, timeout_s)
        case DriveSource(folder_id, file_id):
            return drive.describe(folder_id, name, file_id, timeout_s)


def _describe_plain(source: WebSource, name: str, timeout_s: float) -> RemoteFile:
    """By a request for one byte: not every server of files answers HEAD."""
    address = (os.environ.get(source.mirror_variable) or source.address).rstrip("/")
    url = f"{address}/{name}"
    with web.opened(url, {"Range": "bytes=0-0"}, timeout_s) as response:
        return RemoteFile(
            name=name,
            url=url,
            source=address.partition("://")[2],
            size_bytes=whole_size(response.headers),
            etag=response.headers.get("ETag"),
            sha256=None,
        )


def _all_failed(problems: Sequence[ModelError]) -> ModelError:
    """One error for all sources; the same one where there was but one."""
    if len(problems) == 1:
        return problems[0]
    *others, last = (str(problem) for problem in problems)
    return ModelError("; and ".join([*(other.removesuffix(web.BY_HAND).rstrip(" ,") for other in others), last]))
