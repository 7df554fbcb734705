"""Repositories of Hugging Face: what a file is (commit, size, SHA-256), and which files there are.

huggingface_hub gives the address (`HF_ENDPOINT`), the token (`HF_TOKEN`, or that of `HF_HOME`) and its cache
(`HF_HOME`), from which a file that another program fetched is copied. The bytes move as in `transfer.py`.
"""

from __future__ import annotations

import json
import os
import re
from email.message import Message
from pathlib import Path
from typing import Any

from huggingface_hub import get_token, hf_hub_url, try_to_load_from_cache

from vidsearch.errors import ModelError
from vidsearch.fetching import web
from vidsearch.fetching.remote import RemoteFile

ENDPOINT_VARIABLE = "HF_ENDPOINT"
_DEFAULT_ENDPOINT = "https://huggingface.co"
_REVISION = "main"
_SHA256, _SHA1 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_LIST_LIMIT_BYTES = 4_000_000


def endpoint() -> str:
    """The hub's address without a slash at its end."""
    return (os.environ.get(ENDPOINT_VARIABLE) or _DEFAULT_ENDPOINT).rstrip("/")


def describe(repository: str, name: str, timeout_s: float) -> RemoteFile:
    """A file of a repository's main branch, pinned to the commit that the branch is at now."""
    token = token_header()
    headers = web.head(hf_hub_url(repository, name, endpoint=endpoint()), token, timeout_s)
    commit = headers.get("X-Repo-Commit") or ""
    if not _SHA1.fullmatch(commit):
        raise ModelError(
            f"{endpoint()} does not answer as Hugging Face does; check {ENDPOINT_VARIABLE} and the proxy {web.BY_HAND}"
        )
    etag = _etag(headers)
    cached = try_to_load_from_cache(repository, name, revision=commit)
    return RemoteFile(
        name=Path(name).name,
        url=hf_hub_url(repository, name, revision=commit, endpoint=endpoint()),
        source=f"{endpoint().partition('://')[2]}/{repository}",
        size_bytes=_size(headers),
        etag=etag or None,
        sha256=etag if _SHA256.fullmatch(etag) else None,
        sha1=etag if _SHA1.fullmatch(etag) else None,
        headers=token,
        cached=Path(cached) if isinstance(cached, str) else None,
    )


def files_of(repository: str, timeout_s: float) -> list[str]:
    """The names of the files at the top of a repository's main branch."""
    url = f"{endpoint()}/api/models/{repository}/tree/{_REVISION}"
    answer = web.text(url, token_header(), timeout_s, limit_bytes=_LIST_LIMIT_BYTES)
    try:
        entries: list[dict[str, Any]] = json.loads(answer)
        names = [entry["path"] for entry in entries if entry["type"] == "file"]
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name that is not a text")
        return names
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(
            f"{web.shown(url)} does not answer with a list of files; check {ENDPOINT_VARIABLE} and the proxy"
        ) from error


def token_header() -> dict[str, str]:
    """The user's token for the hub, if there is one."""
    token = None if web.is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") else get_token()
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _etag(headers: Message) -> str:
    """Of the large file behind a redirect, if there is one: its SHA-256. Of a small file: git's hash of it."""
    tag = headers.get("X-Linked-Etag") or headers.get("ETag") or ""
    return tag.removeprefix("W/").strip('"')


def _size(headers: Message) -> int | None:
    length = headers.get("X-Linked-Size") or (None if "Location" in headers else headers.get("Content-Length"))
    return web.number(length)
