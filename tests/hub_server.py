"""A web server on loopback that behaves like the hosts of published weights, well and badly.

    with HubServer() as server:
        server.add_repository("org/name", {"weights.pt": data})
        server.trouble("/cdn/", Trouble(cut_after=1000), times=2)

`environment()` points the program at it. What it imitates, as far as a client can tell:

    hub     HEAD /ORG/NAME/resolve/REVISION/FILE: 302 to a path on another host name, X-Repo-Commit, X-Linked-Size and
            X-Linked-Etag (the SHA-256) for large files; 200 and the ETag alone for small ones; GET /api/models/...
    files   GET with Range and If-Range, ETag, Content-Range; under /cdn/ (hub), /plain/ (Apple)
    drive   the folder's page, the page that asks for confirmation, the file behind it
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES = 1000  # from this size on a hub's file counts as LFS
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Trouble:
    """How one answer goes wrong; applied to GET and HEAD of a path."""

    status: int | None = None  # answer with this instead
    headers: Mapping[str, str] = field(default_factory=dict)  # in addition, or in place of the usual ones
    body: bytes | None = None  # in place of the content
    cut_after: int | None = None  # close the connection after so many bytes of the body
    drip: tuple[int, float] | None = None  # so many bytes at a time, with so many seconds between
    drip_head_s: float | None = None  # status line and headers byte by byte, with so many seconds between
    drip_chunk_s: float | None = None  # a chunked body whose first line has no end, byte by byte
    stall_s: float = 0  # wait before the first byte
    gate: threading.Event | None = None  # wait for this before the first byte
    no_range: bool = False  # ignore Range
    endless: bool = False  # a chunked body without an end
    drops: tuple[str, ...] = ()  # headers that are left out
    only: str | None = None  # this method alone


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class _Planned:
    prefix: str
    trouble: Trouble
    left: int


class HubServer:
    """Serves repositories, plain files and a Drive folder; keeps what was asked in `requests`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.token: str | None = None  # what a hub request must bring
        self._repositories: dict[str, dict[str, bytes]] = {}
        self._plain: dict[str, bytes] = {}
        self._drive: dict[str, dict[str, tuple[str, bytes]]] = {}  # folder → file id → name, content
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()
        self._server = _QuietServer(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        """The same server under another host name, as a redirect to a CDN sees it."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self) -> dict[str, str]:
        """What points the program at this server and at nothing else."""
        return {
            "HF_ENDPOINT": self.url,
            "VIDSEARCH_APPLE_URL": f"{self.url}/plain",
            "VIDSEARCH_DRIVE_URL": self.url,
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def add_repository(self, name: str, files: Mapping[str, bytes]) -> None:
        self._repositories[name] = dict(files)

    def add_plain(self, name: str, content: bytes) -> None:
        self._plain[name] = content

    def add_drive_folder(self, folder: str, files: Mapping[str, bytes]) -> None:
        """File ids are made of the names: `id-NAME`, with underscores as Drive's ids may have them."""
        self._drive[folder] = {drive_id(name): (name, content) for name, content in files.items()}

    def trouble(self, prefix: str, trouble: Trouble, *, times: int = 1_000_000) -> None:
        """The next `times` requests whose path begins with `prefix` go wrong."""
        self._planned.append(_Planned(prefix, trouble, times))

    def well(self) -> None:
        """No more trouble."""
        self._planned.clear()

    def asked(self, prefix: str, method: str | None = None) -> list[Request]:
        return [r for r in self.requests if r.path.startswith(prefix) and method in (None, r.method)]

    def _next_trouble(self, method: str, path: str) -> Trouble:
        with self._lock:
            for planned in self._planned:
                if path.startswith(planned.prefix) and planned.left and planned.trouble.only in (None, method):
                    planned.left -= 1
                    return planned.trouble
        return Trouble()


def drive_id(name: str) -> str:
    """The id that `add_drive_folder` gives a file: of the length and alphabet of Drive's own."""
    return "1" + re.sub(r"\W", "_", name).ljust(32, "x")


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that the client drops are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _QuietServer
    _drip_head_s: float | None = None

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        hub.requests.append(Request(self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        trouble = hub._next_trouble(self.command, path)
        time.sleep(trouble.stall_s)
        if trouble.gate is not None:
            trouble.gate.wait(60)
        if trouble.status is not None:
            self._send(
                trouble.status, trouble.body or b"no", {"Content-Type": "text/plain", **trouble.headers}, trouble
            )
            return
        routes = {"plain": self._plain, "cdn": self._cdn, "uc": self._drive_file, "download": self._drive_file}
        first = path.lstrip("/").split("/")[0]
        if first == "api":
            self._api(path, trouble)
        elif first == "embeddedfolderview":
            self._drive_page(path, parse_qs(parts.query), trouble)
        elif first in routes:
            routes[first](path, parse_qs(parts.query), trouble)
        else:
            self._resolve(path, trouble)

    # the hub

    def _allowed(self) -> bool:
        token = self.server.hub.token
        return token is None or self.headers.get("Authorization") == f"Bearer {token}"

    def _api(self, path: str, trouble: Trouble) -> None:
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path)
        files = self.server.hub._repositories.get(found[1]) if found else None
        if files is None or not self._allowed():
            return self._not_there(trouble)
        listed = [{"type": "directory", "path": "images", "size": 0, "oid": "0" * 40}]
        for name, content in files.items():
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _git_hash(content)}
            if len(content) >= LARGE_BYTES:
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
            listed.append(entry)
        return self._send(200, json.dumps(listed).encode(), {"Content-Type": "application/json"}, trouble)

    def _resolve(self, path: str, trouble: Trouble) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/(main|[0-9a-f]{40})/(.+)", path)
        files = self.server.hub._repositories.get(found[1]) if found else None
        if found is None or files is None or not self._allowed():
            return self._not_there(trouble)
        if (content := files.get(found[3])) is None:
            return self._send(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"}, trouble)
        commit = {"X-Repo-Commit": COMMIT}
        if len(content) < LARGE_BYTES:
            return self._content(content, {**commit, "ETag": f'"{_git_hash(content)}"'}, trouble)
        digest = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{digest}"', "ETag": f'"{_git_hash(content)}"'}
        location = f"{self.server.hub.cdn}/cdn/{found[1]}/{found[3]}?Signature=s3cret"
        return self._send(302, b"", {**commit, **linked, "Location": location, **trouble.headers}, Trouble())

    def _not_there(self, trouble: Trouble) -> None:
        """As the hub does: to strangers a private repository and none at all look the same."""
        self._send(401, b"Invalid username or password.", {"X-Error-Code": "RepoNotFound"}, trouble)

    def _cdn(self, path: str, query: Mapping[str, list[str]], trouble: Trouble) -> None:
        if "Authorization" in self.headers or query.get("Signature") != ["s3cret"]:
            return self._send(400, b"only one authentication mechanism is allowed", {}, Trouble())
        organisation, name, file = path.removeprefix("/cdn/").split("/", 2)
        content = self.server.hub._repositories[f"{organisation}/{name}"][file]
        return self._content(content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}, trouble)

    # plain files

    def _plain(self, path: str, query: Mapping[str, list[str]], trouble: Trouble) -> None:
        content = self.server.hub._plain.get(path.removeprefix("/plain/"))
        if content is None:
            return self._send(404, b"no", {}, trouble)
        return self._content(content, {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}, trouble)

    # Google Drive

    def _drive_page(self, path: str, query: Mapping[str, list[str]], trouble: Trouble) -> None:
        files = self.server.hub._drive.get((query.get("id") or [path.rsplit("/", 1)[-1]])[0])
        if files is None:
            return self._send(404, b"<html>not found</html>", {"Content-Type": "text/html; charset=utf-8"}, trouble)
        entries = "".join(
            f'<div class="flip-entry" id="entry-{identity}"><div class="flip-entry-info">'
            f'<a href="https://drive.google.com/file/d/{identity}/view?usp=drive_web" target="_blank">'
            f'<div class="flip-entry-title">{name}</div></a></div></div>'
            for identity, (name, _) in files.items()
        )
        page = f"<!DOCTYPE html><html><head><title>weights</title></head><body>{entries}</body></html>".encode()
        return self._send(200, page, {"Content-Type": "text/html; charset=utf-8"}, trouble)

    def _drive_file(self, path: str, query: Mapping[str, list[str]], trouble: Trouble) -> None:
        identity = query.get("id", [""])[0]
        found = next((files[identity] for files in self.server.hub._drive.values() if identity in files), None)
        if found is None:
            return self._send(404, b"<html>not found</html>", {"Content-Type": "text/html"}, trouble)
        name, content = found
        if query.get("confirm") != ["t"] or "uuid" not in query:
            return self._send(200, self._confirmation(identity, name), {"Content-Type": "text/html"}, trouble)
        disposition = {"Content-Disposition": f'attachment; filename="{name}"', "Last-Modified": _DATE}
        return self._content(content, disposition, trouble)

    def _confirmation(self, identity: str, name: str) -> bytes:
        inputs = {"id": identity, "export": "download", "confirm": "t", "uuid": "6c1f", "at": "AB&C"}
        hidden = "".join(
            f'<input type="hidden" name="{key}" value="{value.replace("&", "&amp;")}">' for key, value in inputs.items()
        )
        return (
            f"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body><p>{name} is too "
            "large for Google to scan for viruses.</p>"
            f'<form id="download-form" action="{self.server.hub.url}/download" method="get">'
            f'<input type="submit" id="uc-download-link" value="Download anyway"/>{hidden}</form></body></html>'
        ).encode()

    # sending

    def _content(self, content: bytes, headers: Mapping[str, str], trouble: Trouble) -> None:
        """A file, or the part of it that is asked for, if it is still the same file."""
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        unchanged = self.headers.get("If-Range") in (None, headers.get("ETag"), headers.get("Last-Modified"))
        if wanted is None or not unchanged or trouble.no_range or trouble.body is not None:
            return self._send(200, content if trouble.body is None else trouble.body, headers, trouble)
        start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        if start >= len(content):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"}, trouble)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return self._send(206, content[start : end + 1], headers, trouble)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], trouble: Trouble) -> None:
        self.send_response(status)
        chunked = trouble.endless or trouble.drip_chunk_s is not None
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        for name, value in {**length, **headers, **trouble.headers}.items():
            if name not in trouble.drops:
                self.send_header(name, value)
        self._drip_head_s = trouble.drip_head_s
        self.end_headers()
        if self.command == "HEAD":
            return
        if trouble.drip_chunk_s is not None:
            self._drip(b"5;" + b"a" * 60_000, trouble.drip_chunk_s)
            return
        if trouble.endless:
            self._pour()
            return
        cut = trouble.cut_after if status in (200, 206) else None
        for piece in _pieces(body if cut is None else body[:cut], trouble.drip):
            self.wfile.write(piece)
            self.wfile.flush()
        if cut is not None and cut < len(body):
            self.close_connection = True

    def flush_headers(self) -> None:
        if self._drip_head_s is None:
            super().flush_headers()
        elif buffered := getattr(self, "_headers_buffer", []):
            self._headers_buffer = []
            self._drip(b"".join(buffered), self._drip_head_s)

    def _drip(self, content: bytes, pause_s: float) -> None:
        """Byte by byte, until the client leaves."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            for piece in _pieces(content, (1, pause_s)):
                self.wfile.write(piece)

    def _pour(self) -> None:
        """Until the client leaves, and never more than any disk should get from a test."""
        with contextlib.suppress(OSError):
            for _ in range(1 << 14):
                self.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        self.close_connection = True


_DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


def _pieces(body: bytes, drip: tuple[int, float] | None) -> Iterator[bytes]:
    if drip is None:
        yield body
        return
    size, pause_s = drip
    for start in range(0, len(body), size):
        yield body[start : start + size]
        time.sleep(pause_s)


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def served(**repositories: Mapping[str, bytes]) -> Iterator[HubServer]:
    """A running server with these repositories; `__` in a name stands for `/`."""
    with HubServer() as server:
        for name, files in repositories.items():
            server.add_repository(name.replace("__", "/"), files)
        yield server
