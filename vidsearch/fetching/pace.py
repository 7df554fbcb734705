"""Connections whose host may not be slow for ever: status lines, headers and chunks that drip in byte by byte.

The time limit of a socket is that of a single read, which one byte satisfies. Here the time of all reads of an answer
is counted, and what came in it.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import urllib.request
from typing import Any

# An answer is given up when its reads have taken this many time limits and it has brought less than this on average.
_TIME_LIMITS = 4
_LEAST_BYTES_S = 1000.0


class TooSlowError(Exception):
    """An answer drips; its text is the rate. No OSError: a second try would take as long."""


class PacedHttp(urllib.request.HTTPHandler):
    """http for an opener."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See `urllib.request.HTTPHandler`."""
        return self.do_open(_HttpConnection, req)


class PacedHttps(urllib.request.HTTPSHandler):
    """https for an opener, with Python's usual certificates."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See `urllib.request.HTTPSHandler`."""
        return self.do_open(_HttpsConnection, req)


class _PacedReads(io.RawIOBase):
    """The bytes of one answer. Raises TooSlowError when they drip."""

    def __init__(self, source: io.RawIOBase, time_limit_s: float | None) -> None:
        self._source = source
        self._patience_s = None if time_limit_s is None else _TIME_LIMITS * time_limit_s
        self._waited_s = 0.0
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        began_s = time.monotonic()
        count = self._source.readinto(buffer)
        self._waited_s += time.monotonic() - began_s
        self._bytes += count or 0
        late = self._patience_s is not None and self._waited_s > self._patience_s
        if late and self._bytes < _LEAST_BYTES_S * self._waited_s:
            raise TooSlowError(f"{self._bytes / self._waited_s:.0f} bytes a second")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp = io.BufferedReader(_PacedReads(self.fp.detach(), sock.gettimeout()))


class _HttpConnection(http.client.HTTPConnection):
    response_class = _Answer


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _Answer
