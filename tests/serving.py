"""A real server of the page in this process, on a free port of this machine, and requests to it byte by byte."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from vidsearch.answering.interface import Answerer
from vidsearch.serving.app import application
from vidsearch.serving.guard import Access
from vidsearch.serving.routes import Parts
from vidsearch.serving.server import bound_socket, make_server
from vidsearch.serving.start import make_parts

QUESTION = "what colour is the square?"
ANSWER = "the square is red"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]  # by their names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers, and its parts."""

    port: int
    parts: Parts

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Reply:
        return self.request("GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, target: str, value: object) -> Reply:
        return self.request(
            "POST", target, headers={"content-type": "application/json"}, body=json.dumps(value).encode()
        )


@contextmanager
def served(home: Path, answerer: Answerer, *, token: str | None = None, conversions: int = 2) -> Iterator[Served]:
    """The application over the library in `home`, with the bundled model, until the block is left."""
    parts = make_parts(home, "mobileviclip-nano", answerer.model, lambda: answerer, conversions=conversions)
    listening = bound_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    ready = threading.Event()
    server: uvicorn.Server = make_server(application(parts, Access(port, token=token)), ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(30)
        yield Served(port, parts)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        parts.catalogue.library.close()
    assert not thread.is_alive()
