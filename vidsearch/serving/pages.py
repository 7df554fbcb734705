"""The files of the page, from a fixed table: no name of a request ever becomes a path."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from vidsearch.serving.refusals import not_found

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}


@cache
def _table() -> dict[str, tuple[bytes, str, str]]:
    """Content, type and tag of every file in `static`, and of the look that the result page has too."""
    found = {}
    shared = files("vidsearch.workflows").joinpath("look.css")
    for file in (*files("vidsearch.serving").joinpath("static").iterdir(), shared):
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            found[file.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return found


async def page(request: Request) -> Response:
    """The one page: what it shows follows from its address (main.js)."""
    return _answer(request, "index.html")


async def asset(request: Request) -> Response:
    """One file of the page."""
    return _answer(request, request.path_params["name"])


def _answer(request: Request, name: str) -> Response:
    if name not in _table():
        raise not_found("There is no such page.")
    content, kind, tag = _table()[name]
    headers = {"etag": tag, "cache-control": "no-cache", "content-type": kind}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers)
