"""Who may ask, and how much: host, origin, token, size and slowness, checked before any route is asked.

A page of another site can make a browser send requests to 127.0.0.1. What it cannot forge are the headers Host (a name
of its own that it points here, "DNS rebinding"), Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from types import MappingProxyType
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidsearch.errors import VidsearchError
from vidsearch.serving.refusals import RefusedError, status_of

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 256 * 1024
BODY_TIMEOUT_S = 10.0
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_SAFE_METHODS = ("GET", "HEAD")

# Everything comes from this server.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Whom the server answers. `token`: what a browser must know, where other machines can reach the server."""

    port: int
    names: tuple[str, ...] = LOOPBACK_NAMES
    any_address: bool = False  # any numeric address is taken for ours: the server listens on all of them
    token: str | None = None

    @property
    def cookie(self) -> str:
        """The cookie that keeps the token; cookies are shared by the ports of a host."""
        return f"vidsearch-{self.port}"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name, _, port = host.lower().rpartition(":") if _has_port(host) else (host.lower(), "", "80")
        if port != str(self.port):
            return False
        return name in self.names or (self.any_address and _is_address(name))


def new_token() -> str:
    """256 bits that nobody guesses."""
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class _Answer:
    """Whether an answer has begun: then another one cannot."""

    started: bool = False


class Guard:
    """The outermost layer: lets a request through, or answers it with one JSON object that says why not."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket: nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer()
        try:
            self._check_host_and_origin(scope)
            if self._access.token is not None and await self._answered_by_token(scope, send, self._access.token):
                return
            await self._app(scope, _bounded(scope, receive), _with_headers(send, answer))
        except HTTPException as error:  # no such route, or another method
            text = {404: "There is no such page.", 405: "The method is not allowed here."}[error.status_code]
            await _say(send, answer, error.status_code, text, error.headers or {})
        except VidsearchError as error:
            log.info("%s %s: %s", scope["method"], _shown(scope), error)
            await _say(send, answer, status_of(error), str(error))
        except ClientDisconnect:  # in the middle of its body: nobody is there to be told
            log.info("%s %s: the client left", scope["method"], _shown(scope))
        except Exception as error:  # a bug: one line here, none of it to the client
            log.error("%s %s failed: %r", scope["method"], _shown(scope), error)
            log.debug("the traceback", exc_info=True)
            await _say(send, answer, 500, "The server failed; its log has a line about it.")

    def _check_host_and_origin(self, scope: Scope) -> None:
        headers = _headers(scope)
        host = headers.get("host", "")
        if not self._access.is_ours(host):
            raise RefusedError(403, "This server is not asked under that name.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            raise RefusedError(403, "Another site's page may not ask this server.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "navigate")
        is_visit = mode == "navigate" and scope["method"] in _SAFE_METHODS
        if site not in ("none", "same-origin") and not is_visit:
            raise RefusedError(403, "Another site's page may not ask this server.")

    async def _answered_by_token(self, scope: Scope, send: Send, token: str) -> bool:
        """False if the request knows the token. A link that does becomes a cookie and a visit without it."""
        headers = _headers(scope)
        if _equal(_cookie(headers, self._access.cookie), token):
            return False
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _equal(bearer.strip(), token):
            return False
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if scope["path"] != "/" or not _equal(query.get("token", ""), token):
            raise RefusedError(401, "Open the link that vidsearch serve printed; it holds the token.")
        cookie = f"{self._access.cookie}={token}; HttpOnly; SameSite=Lax; Path=/; Max-Age=31536000"
        await _send(send, 303, b"", {"location": "/", "set-cookie": cookie, "cache-control": "no-store"})
        return True


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """A body that is too large or comes too slowly ends the request."""
    length = _headers(scope).get("content-length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:20]) > MOST_BODY_BYTES:
        raise RefusedError(413, f"The body is larger than {MOST_BODY_BYTES} bytes.")
    received = 0
    whole = False

    async def bounded() -> Message:
        nonlocal received, whole
        if whole:  # what still comes is the end of the connection, which may take its time
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
        except TimeoutError:
            raise RefusedError(408, "The body came too slowly.") from None
        received += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if received > MOST_BODY_BYTES:
            raise RefusedError(413, f"The body is larger than {MOST_BODY_BYTES} bytes.")
        return message

    return bounded


def _with_headers(send: Send, answer: _Answer) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.started = True
            message = {**message, "headers": [*message.get("headers", ()), *_encoded(HEADERS)]}
        await send(message)

    return sending


async def _say(
    send: Send, answer: _Answer, status: int, text: str, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    """The error as JSON; nothing where an answer has begun: its end without the rest tells the client."""
    if answer.started:
        return
    extra = dict(more)
    extra |= {"connection": "close"} if status in (408, 413) else {}
    extra |= {"retry-after": "5"} if status == 503 else {}
    body = json.dumps({"error": text}).encode()
    await _send(send, status, body, {"content-type": "application/json", "cache-control": "no-store", **extra})


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    length = {"content-length": str(len(body))}
    await send({"type": "http.response.start", "status": status, "headers": _encoded({**headers, **length, **HEADERS})})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _headers(scope: Scope) -> dict[str, str]:
    """Headers by name. One that decides something and comes twice counts as none."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in ("host", "origin") and key in found:
            raise RefusedError(400, f"The header {key} is given twice.")
        found[key] = value.decode("latin-1")
    return found


def _cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", "")[:4096])
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _equal(given: str, token: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _shown(scope: Scope) -> str:
    """The path of a request for the log: no query string, which may hold the token or somebody's words."""
    return str(scope["path"])[:200]
