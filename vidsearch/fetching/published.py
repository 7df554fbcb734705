"""Where a published file is to be had now: its places are asked in their order, and the first that has it is taken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from vidsearch.errors import ModelError
from vidsearch.fetching import drive, hub, web
from vidsearch.fetching.remote import Patience, RemoteFile, Report
from vidsearch.fetching.repository import weights_among
from vidsearch.fetching.transfer import whole_size
from vidsearch.models.registry import (
    DrivePlace,
    HubPlace,
    Place,
    WebPlace,
    WeightFile,
    WeightRepository,
    Weights,
)

_TRIES_ELSEWHERE = 2  # of a place after which there is another


def describe_all(weights: Weights, patience: Patience, report: Report) -> list[RemoteFile]:
    """The files that `weights` stands for, named with the folder that they are put in."""
    match weights:
        case WeightFile():
            found = [describe(weights, patience, report)]
        case WeightRepository(repository):
            listed = web.patiently(lambda: hub.files_of(repository, patience.timeout_s), patience, report)
            names = weights_among(repository, listed, with_tokenizer=weights.with_tokenizer)
            found = [describe_at(HubPlace(repository), WeightFile(name, (), 0), patience, report) for name in names]
    return [replace(file, name=f"{weights.folder}/{file.name}") if weights.folder else file for file in found]


def describe(file: WeightFile, patience: Patience, report: Report) -> RemoteFile:
    """The file as the first place that has it announces it; ModelError that says why each place has not."""
    problems: list[ModelError] = []
    for place in file.places:
        last = place is file.places[-1]
        tries = patience.tries if last else min(patience.tries, _TRIES_ELSEWHERE)
        try:
            return describe_at(place, file, replace(patience, tries=tries), report)
        except ModelError as error:
            problems.append(error)
    raise _all_failed(problems)


def describe_at(place: Place, file: WeightFile, patience: Patience, report: Report) -> RemoteFile:
    """The file as one place announces it."""
    found = web.patiently(lambda: _ask(place, file.name, patience.timeout_s), patience, report)
    return replace(found, sha256=file.sha256 or found.sha256)


def _ask(place: Place, name: str, timeout_s: float) -> RemoteFile:
    match place:
        case HubPlace(repository):
            return hub.describe(repository, name, timeout_s)
        case WebPlace():
            return _describe_plain(place, name, timeout_s)
        case DrivePlace(folder_id, file_id):
            return drive.describe(folder_id, name, file_id, timeout_s)


def _describe_plain(place: WebPlace, name: str, timeout_s: float) -> RemoteFile:
    """By a request for one byte: not every server of files answers HEAD."""
    address = (os.environ.get(place.mirror_variable) or place.address).rstrip("/")
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
    """One error for all places; the same one where there was but one."""
    if len(problems) == 1:
        return problems[0]
    *others, last = (str(problem) for problem in problems)
    return ModelError("; and ".join([*(other.removesuffix(web.BY_HAND).rstrip(" ,") for other in others), last]))
