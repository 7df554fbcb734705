"""One remote file → one verified file on disk; what arrived before a cut is used by the next try, also days later.

Why not `hf_hub_download`: since huggingface_hub 1.x a transfer that ends early is thrown away, and neither Apple's host
nor Google Drive is its business. One way of moving bytes serves all three.

Of a file that has not arrived whole, `.state/` holds `NAME.part`, its bytes, and `NAME.part.json`, what they are part
of. They are continued only when the host says that the content is the same: by `If-Range` (RFC 9110, 13.1.5), or, where
it gives no validator, by a published hash that the whole file must have.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO

from vidsearch.errors import ModelError
from vidsearch.fetching.remote import BytesArrived, FetchedFile, FileStarted, RemoteFile, Report, RetryPolicy, Waiting
from vidsearch.fetching.web import BY_HAND, HostTroubleError, RangeRefusedError, number, opened, shown, translated, wait
from vidsearch.files import digest_of, sha256

_CHUNK_BYTES = 1 << 18
_SNIFFED_BYTES = 64
_LFS_POINTER = b"version https://git-lfs"
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_WITH_A_FILE = (http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT)
_MOST_UNANNOUNCED_BYTES = 20_000_000_000
STATE_FOLDER = ".state"


def fetch_file(remote: RemoteFile, folder: Path, report: Report, policy: RetryPolicy) -> FetchedFile:
    """Bring `remote` into `folder`, which exists. A file that is there already and is the same is not fetched again.

    ModelError when it cannot be had or is not what was announced; then nothing stays of it but, after a cut, the part
    that a later call continues.
    """
    try:
        return _fetch_file(remote, folder, report, policy)
    except OSError as error:  # those of the network are ModelErrors by now
        raise ModelError(
            f"{remote.name} cannot be kept in {folder} ({error.strerror}); make room there and run the command again"
        ) from error


def _fetch_file(remote: RemoteFile, folder: Path, report: Report, policy: RetryPolicy) -> FetchedFile:
    path, part = folder / remote.name, _Part.of(folder, remote)
    part.data.parent.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    if (whole := _already_whole(path, folder, remote)) is not None:
        size = path.stat().st_size
        report(FileStarted(remote.name, size, size))
        return whole
    if remote.cached is not None:
        try:
            _copy(remote, remote.cached, part, report)
            return _kept(part, path, _note_of(folder, remote), remote)
        except ModelError:  # the host has a whole one
            report(Waiting(0.0, f"the copy of {remote.name} in {remote.cached.parent} is damaged and not used"))
    _receive_all(remote, part, report, policy)
    return _kept(part, path, _note_of(folder, remote), remote)


def remaining_bytes(remote: RemoteFile, folder: Path) -> int:
    """How many bytes are still to come; 0 if the host does not say how large the file is."""
    if remote.size_bytes is None or (folder / remote.name).is_file():
        return 0
    return max(0, remote.size_bytes - _Part.of(folder, remote).length())


@dataclass(slots=True)
class _Part:
    """The bytes that arrived, the note of what they belong to, and the SHA-256 of those that this process wrote."""

    data: Path
    note: Path
    _digest: hashlib._Hash | None = None
    _digested_bytes: int = 0

    @classmethod
    def of(cls, folder: Path, remote: RemoteFile) -> _Part:
        state, name = folder / STATE_FOLDER, _flat(remote.name)
        return cls(state / f"{name}.part", state / f"{name}.part.json")

    def length(self) -> int:
        return self.data.stat().st_size if self.data.is_file() else 0

    def begin(self) -> None:
        """An empty part."""
        self.data.write_bytes(b"")
        self._digest, self._digested_bytes = hashlib.sha256(), 0

    def append(self, file: BinaryIO, chunk: bytes) -> None:
        """Write to the end of the part, which is open as `file`."""
        file.write(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
            self._digested_bytes += len(chunk)

    def sha256(self) -> str:
        """Of the whole part; it is read only if an earlier process wrote some of it."""
        if self._digest is not None and self._digested_bytes == self.length():
            return self._digest.hexdigest()
        return sha256(self.data)

    def drop(self) -> None:
        self.data.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self._digest = None


def _flat(name: str) -> str:
    return name.replace("/", "__")


def _read_note(path: Path) -> dict[str, Any]:
    """Empty if there is none, or none that can be read: then nothing is continued."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _identity(remote: RemoteFile) -> dict[str, Any]:
    """What tells this content from another; the address is without its query, which changes from day to day."""
    return {
        "url": shown(remote.url),
        "etag": remote.etag,
        "sha256": remote.sha256,
        "sha1": remote.sha1,
        "size_bytes": remote.size_bytes,
    }


def _receive_all(remote: RemoteFile, part: _Part, report: Report, policy: RetryPolicy) -> None:
    """Ask again after every cut; a try after which more is here than ever before starts the count anew."""
    tries, most = 0, part.length()
    for request in range(policy.most_requests):
        try:
            _receive(remote, part, report, policy)
            return
        except HostTroubleError as error:
            tries = 0 if part.length() > most else tries + 1
            most = max(most, part.length())
            if tries >= policy.tries or request + 1 == policy.most_requests:
                raise
            wait(max(0, tries - 1), error, policy, report)


def _receive(remote: RemoteFile, part: _Part, report: Report, policy: RetryPolicy) -> None:
    """One request: what is missing of the file, as far as it comes."""
    done, resuming = _where_to_go_on(remote, part)
    if remote.size_bytes is not None and done == remote.size_bytes > 0:
        report(FileStarted(remote.name, done, remote.size_bytes))
        return
    try:
        with opened(remote.url, {**remote.headers, **resuming}, policy.timeout_s) as response:
            _check_announcement(response, remote, whole_size(response.headers))
            done = _accepted_offset(response, remote, part, done)
            size = remote.size_bytes or whole_size(response.headers)
            report(FileStarted(remote.name, done, size))
            _write(response, remote, part, done, size, report, policy)
    except RangeRefusedError as error:
        part.drop()
        raise HostTroubleError(f"{error}; {remote.name} is begun anew", after_s=0.0) from error


def _where_to_go_on(remote: RemoteFile, part: _Part) -> tuple[int, dict[str, str]]:
    """(bytes that may be kept, headers that ask for the rest); (0, {}) if nothing may be kept."""
    done, note = part.length(), _read_note(part.note)
    if not done or any(note.get(key) != value for key, value in _identity(remote).items()):
        return 0, {}
    if isinstance(validator := note.get("validator"), str):
        return done, {"Range": f"bytes={done}-", "If-Range": validator}
    if remote.sha256 is not None:
        return done, {"Range": f"bytes={done}-"}
    return 0, {}


def _accepted_offset(response: http.client.HTTPResponse, remote: RemoteFile, part: _Part, asked: int) -> int:
    """Where the body of this answer begins in the file; the part on disk is made to end there."""
    if asked and response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != asked:
            raise RangeRefusedError(f"{shown(remote.url)} sends other bytes than were asked for")
        validator, tag = _read_note(part.note).get("validator"), response.headers.get("ETag")
        if isinstance(validator, str) and validator.startswith('"') and tag not in (None, validator):
            raise RangeRefusedError(f"{shown(remote.url)} has another file than the one that was begun")
        return asked
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        raise HostTroubleError(
            f"{shown(remote.url)} sends a part of {remote.name} that was not asked for; try again later"
        )
    _begin(response, remote, part)
    return 0


def _begin(response: http.client.HTTPResponse, remote: RemoteFile, part: _Part) -> None:
    """An empty part, with the note that lets a later try continue it."""
    note = {**_identity(remote), "validator": _validator(response)}
    part.begin()
    part.note.write_text(json.dumps(note) + "\n", encoding="utf-8")


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What `If-Range` may hold: a strong entity tag, else the date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def whole_size(headers: Message) -> int | None:
    """How long the file is by the headers of an answer to a request for it, or for a part of it."""
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is not None:
        return number(found[3])
    return number(headers.get("Content-Length"))


def _check_announcement(response: http.client.HTTPResponse, remote: RemoteFile, size: int | None) -> None:
    if response.headers.get_content_type() == "text/html":
        raise _web_page(remote)
    if (wrong := _no_answer(response, remote)) is not None:
        raise ModelError(
            f"{shown(remote.url)} answers with {wrong} instead of {remote.name}; try again later {BY_HAND}"
        )
    if None not in (size, remote.size_bytes) and size != remote.size_bytes:
        raise ModelError(
            f"{remote.name} at {shown(remote.url)} is {size} bytes long where {remote.size_bytes} were announced; "
            f"try again later {BY_HAND}"
        )


def _no_answer(response: http.client.HTTPResponse, remote: RemoteFile) -> str | None:
    """What an answer is instead of one with a file; None for one."""
    if response.status not in _WITH_A_FILE:
        return f"HTTP {response.status}"
    length = response.headers.get("Content-Length")
    if length is not None and number(length) is None:
        return f"a length of {length[:20]!r}"
    return "nothing" if length is not None and number(length) == 0 and remote.size_bytes != 0 else None


def _write(
    response: http.client.HTTPResponse,
    remote: RemoteFile,
    part: _Part,
    done: int,
    size: int | None,
    report: Report,
    policy: RetryPolicy,
) -> None:
    """Append the body. HostTroubleError when it ends before the announced end: what came is kept.

    Nothing is written beyond the announced end; of a file that was not announced, nothing beyond 20 GB.
    """
    speed = _Speed(policy)
    with part.data.open("ab") as file:
        for chunk in _chunks(response, remote.url):
            if done == 0:
                _refuse_imposters(chunk, remote, part)
            if done + len(chunk) > (_MOST_UNANNOUNCED_BYTES if size is None else size):
                part.drop()
                raise _too_long(remote, size)
            part.append(file, chunk)
            done += len(chunk)
            report(BytesArrived(remote.name, len(chunk)))
            speed.require(len(chunk), remote)
    if size is not None and done < size:
        raise HostTroubleError(
            f"the connection for {remote.name} was cut after {done} of {size} bytes; run the command again to go on"
        )


class _Speed:
    """Of one request, so that a host that drips does not hold the program for days."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._begun_s = time.monotonic()
        self._bytes = 0

    def require(self, arrived: int, remote: RemoteFile) -> None:
        """ModelError if it has been slow for too long."""
        self._bytes += arrived
        passed_s = time.monotonic() - self._begun_s
        if passed_s > self._policy.slow_s and self._bytes < self._policy.least_bytes_s * passed_s:
            rate = f"{self._bytes / passed_s:.0f} bytes a second"
            raise ModelError(f"{shown(remote.url)} sends {remote.name} at {rate}; run the command again later to go on")


def _too_long(remote: RemoteFile, size: int | None) -> ModelError:
    said = "20 GB and more come without an end" if size is None else f"more than the announced {size} bytes come"
    return ModelError(f"{said} for {remote.name} from {shown(remote.url)}; nothing was kept: try again later {BY_HAND}")


def _chunks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    """As they come; the first is long enough to see what it is, however slowly it drips."""
    with translated(url):
        chunk = response.read(_SNIFFED_BYTES)
    while chunk:
        yield chunk
        with translated(url):
            chunk = response.read1(_CHUNK_BYTES)


def _refuse_imposters(first: bytes, remote: RemoteFile, part: _Part) -> None:
    """Pages and pointers that are sent in place of a file, whatever their headers say."""
    begin = first[:_SNIFFED_BYTES].lstrip().lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
        part.drop()
        raise _web_page(remote)
    if begin.startswith(_LFS_POINTER):
        part.drop()
        raise ModelError(
            f"{shown(remote.url)} holds a Git LFS pointer instead of {remote.name}: the mirror has no large files; "
            f"use another {BY_HAND}"
        )


def _web_page(remote: RemoteFile) -> ModelError:
    return ModelError(
        f"{shown(remote.url)} answered with a web page instead of {remote.name}; open it in a browser to see what it "
        f"asks for, {BY_HAND}"
    )


def _copy(remote: RemoteFile, source: Path, part: _Part, report: Report) -> None:
    """The content from another program's cache; it is checked like one that was received."""
    part.drop()
    part.begin()
    report(FileStarted(remote.name, 0, remote.size_bytes))
    with source.open("rb") as reading, part.data.open("ab") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            part.append(writing, chunk)
            report(BytesArrived(remote.name, len(chunk)))


def _kept(part: _Part, path: Path, kept_note: Path, remote: RemoteFile) -> FetchedFile:
    """Check the whole file and give it its name. A wrong one is deleted: continuing it would never make it right."""
    length, digest = part.length(), part.sha256()
    if remote.size_bytes is not None and length != remote.size_bytes:
        part.drop()
        raise ModelError(
            f"{remote.name} from {shown(remote.url)} has {length} bytes where {remote.size_bytes} were announced; "
            "it was deleted: run the command again"
        )
    if remote.sha256 is not None and digest != remote.sha256:
        part.drop()
        raise ModelError(
            f"{remote.name} from {shown(remote.url)} does not have its published SHA-256 ({remote.sha256[:12]}…, found "
            f"{digest[:12]}…); it was deleted: run the command again"
        )
    if remote.sha1 is not None and remote.sha1 not in _sha1s(part.data):
        part.drop()
        raise ModelError(
            f"{remote.name} from {shown(remote.url)} does not have its published SHA-1 ({remote.sha1[:12]}…); it was "
            "deleted: run the command again"
        )
    note = {**_identity(remote), "found_sha256": digest}
    kept_note.write_text(json.dumps(note) + "\n", encoding="utf-8")
    part.data.replace(path)
    part.note.unlink(missing_ok=True)
    return FetchedFile(path, remote, digest)


def _note_of(folder: Path, remote: RemoteFile) -> Path:
    return folder / STATE_FOLDER / f"{_flat(remote.name)}.json"


def _already_whole(path: Path, folder: Path, remote: RemoteFile) -> FetchedFile | None:
    """The file of an earlier fetch, if its note says that it is this content and its bytes have not changed."""
    if not path.is_file():
        return None
    note = _read_note(_note_of(folder, remote))
    same = all(note.get(key) == value for key, value in _identity(remote).items())
    if same and sha256(path) == note.get("found_sha256"):
        return FetchedFile(path, replace(remote, size_bytes=path.stat().st_size), note["found_sha256"])
    path.unlink()
    return None


def _sha1s(path: Path) -> set[str]:
    """As git names a content, by its kind, its length and its bytes; and of the bytes alone, as some mirrors tag it."""
    header = b"blob %d\0" % path.stat().st_size
    return {digest_of(path, hashlib.sha1(start, usedforsecurity=False)) for start in (header, b"")}
