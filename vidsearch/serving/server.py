"""The server: a socket, uvicorn on it, and limits that no client can wear out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from vidsearch.errors import VidsearchError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
HEADER_TIMEOUT_S = 10.0
MOST_HEADER_BYTES = 16 * 1024
KEEP_ALIVE_S = 30
LAST_ANSWERS_S = 2.0  # for answers that are on their way when the server ends


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is a free one. VidsearchError if it cannot."""
    if not host:  # to the system that would be every address of the machine
        raise VidsearchError("The address to listen on is empty; leave it out, and this machine alone is answered.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(256)
    except (OSError, TypeError) as error:  # TypeError: a name that is no text
        listening.close()
        if isinstance(error, TypeError):
            message = "The address to listen on is not text; name one as in 192.168.1.5."
        elif error.errno == errno.EADDRINUSE:
            message = f"Port {port} is taken, perhaps by another vidsearch serve; choose one with --port, or 0 for any."
        else:
            message = f"The server cannot listen on {host}, port {port} ({error.strerror}); choose others."
        raise VidsearchError(message) from error
    return listening


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to the patience for a client that does not finish its headers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._hurry = self.loop.call_later(HEADER_TIMEOUT_S, self._leave_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hurry.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():  # the next request has its time again, after the pause between them
            self._hurry.cancel()
            self._hurry = self.loop.call_later(KEEP_ALIVE_S + HEADER_TIMEOUT_S, self._leave_if_silent)

    def _leave_if_silent(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def make_server(app: ASGIApp, ready: Callable[[], None]) -> uvicorn.Server:
    """A server for the application; `ready` is called once it answers."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        http=PatientProtocol,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=10,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )
    return _Server(config, ready)


def serve(app: ASGIApp, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until Ctrl-C, which is how it is meant to end."""
    with contextlib.suppress(KeyboardInterrupt):
        make_server(app, ready).run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """An answer that goes on and on is cut off: to it that looks as if its client had left."""
        asyncio.get_running_loop().call_later(LAST_ANSWERS_S, self._leave)
        await super().shutdown(sockets)

    def _leave(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
