"""A hundred ways in which a host can misbehave; each must end in one sentence, or in the right file.

    for name, trouble in behaviours(): ...

Those of `QUICK` stand for the rest in the ordinary tests.
"""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_server import HubServer, Trouble

from vidsearch.errors import ModelError
from vidsearch.fetching import hub
from vidsearch.fetching.remote import RemoteFile, RetryPolicy
from vidsearch.fetching.transfer import fetch_file

LENGTH = 300_000  # of the file that the tests fetch
_NUMBERS = {
    "superscript": "\u00b2".encode().decode("latin-1"),
    "negative": "-1",
    "huge": "9" * 6000,
    "float": "1e9",
    "empty": "",
    "spaces": " 5 5 ",
    "hex": "0x10",
    "sign": "+5",
    "two": "5, 6",
    "word": "many",
    "zero": "0",
    "million": str(10**17),
}
_LOCATIONS = {
    "ftp": "ftp://127.0.0.1/weights.pt",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1/1",
    "plain http elsewhere": "http://192.0.2.1/weights.pt",
    "no host": "http:///weights.pt",
    "bad port": "http://127.0.0.1:port/x",
    "port beyond": "http://127.0.0.1:99999/x",
    "brackets": "http://[::1/x",
    "itself": "/plain/weights.pt",
    "javascript": "javascript:alert(1)",
    "data": "data:text/plain,hello",
    "long": "/" + "a" * 60_000,
    "control": "/plain/a\tb\x01c",
    "user": "http://user:word@127.0.0.1:1/x",
    "empty": "",
}
_RANGES = (
    "bytes 0-99/100000",
    "bytes 5-10/300000",
    "bytes 100000-5/300000",
    "bytes */300000",
    "bytes 100000-299999/*",
    "bytes 100000-299999/299999",
    f"bytes {'9' * 6000}-1/2",
    "bytes \u00b2-3/4".encode().decode("latin-1"),
    "items 0-1/2",
    "",
)
_TAGS = ('"other"', 'W/"weak"', "", '"' + "x" * 50_000 + '"', "no quotes", '"\x01"', "\xe9")
_TYPES = ("text/html", "text/html; charset=utf-8", "application/json", "", "no/such/type", ";;;")
_BODIES = {
    "page": b"<!doctype html><p>Sign in".ljust(LENGTH),
    "xml": b"<?xml version='1.0'?>".ljust(LENGTH),
    "pointer": b"version https://git-lfs.github.com/spec/v1\n".ljust(LENGTH),
    "nothing": b"",
    "one byte": b"x",
    "too long": bytes(LENGTH + 1),
    "wrong": bytes(LENGTH),
    "json": b'{"error": "no"}',
}
_STATUSES = (199, 201, 204, 206, 300, 304, 400, 401, 402, 403, 404, 405, 407, 408, 410, 413, 416, 418, 425, 429, 451)
_FAILURES = (500, 501, 502, 503, 504, 511, 599, 999)
QUICK = (
    "endless",
    "lying range 0",
    "redirect ftp",
    "redirect brackets",
    "length superscript",
    "status 503",
    "retry huge",
)


def behaviours() -> Iterator[tuple[str, Trouble]]:
    """(name, trouble of every answer to a request for the file)."""
    yield "endless", Trouble(endless=True)
    yield "endless page", Trouble(endless=True, headers={"Content-Type": "text/html"})
    yield "no length", Trouble(drops=("Content-Length",), cut_after=70_000)
    yield "cut", Trouble(cut_after=50_000)
    yield "cut at once", Trouble(cut_after=0)
    yield "headers drip", Trouble(drip_head_s=0.05)
    yield "a chunk's line drips", Trouble(drip_chunk_s=0.05)
    yield "range ignored", Trouble(no_range=True, cut_after=50_000)
    for number, value in enumerate(_RANGES):
        yield f"lying range {number}", Trouble(status=206, headers={"Content-Range": value}, body=bytes(50))
    for name, value in _NUMBERS.items():
        yield f"length {name}", Trouble(headers={"Content-Length": value})
        yield f"retry {name}", Trouble(status=503, headers={"Retry-After": value})
    for name, value in _LOCATIONS.items():
        yield f"redirect {name}", Trouble(status=302, headers={"Location": value})
    for number, value in enumerate(_TAGS):
        yield f"tag {number}", Trouble(headers={"ETag": value}, cut_after=100_000)
    for number, value in enumerate(_TYPES):
        yield f"type {number}", Trouble(headers={"Content-Type": value})
    for name, body in _BODIES.items():
        yield f"body {name}", Trouble(body=body)
    for status in (*_STATUSES, *_FAILURES):
        yield f"status {status}", Trouble(status=status)


CONTENT = random.Random(0).randbytes(LENGTH)
_HASTY = RetryPolicy(tries=3, first_wait_s=0.01, longest_wait_s=0.2, timeout_s=2, most_requests=20)


def fetch_from(server: HubServer, trouble: Trouble, folder: Path, *, announced: bool) -> str | None:
    """Fetch the file from a host in that trouble; the sentence that it ends in, None if the right file arrived.

    `announced`: the hub has told size and hash before the trouble began. Asserts that nothing else is left than a part
    no longer than the file, that the host was not asked without end, and that the sentence is one.
    """
    server.add_repository("org/name", {"weights.pt": CONTENT})
    server.add_plain("weights.pt", CONTENT)
    if announced:
        remote, place = hub.describe("org/name", "weights.pt", 5), "/cdn/"
    else:
        remote, place = RemoteFile("weights.pt", f"{server.url}/plain/weights.pt", "there", None, None, None), "/plain/"
    server.trouble(place, trouble)
    with limited_files():
        try:
            fetch_file(remote, folder, lambda _: None, _HASTY)
        except ModelError as error:
            said = str(error)
        else:
            said = None
    assert len(server.requests) < 3 * _HASTY.most_requests
    if said is None:
        content = (folder / "weights.pt").read_bytes()
        expected = CONTENT if announced or trouble.body is None else trouble.body
        if not announced and "Content-Length" in trouble.drops:
            expected = expected[: trouble.cut_after]  # nobody ever said how long it is
        assert content == expected
        return None
    assert not (folder / "weights.pt").exists()
    assert all(path.stat().st_size <= max(LENGTH, _FILE_LIMIT) for path in folder.rglob("*") if path.is_file())
    assert said and "\n" not in said and "s3cret" not in said and len(said) < 500, said
    return said


_FILE_LIMIT = 64 << 20


@contextmanager
def limited_files() -> Iterator[None]:
    """No file grows beyond 64 MiB here, whatever happens: writing more is refused, as by a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
