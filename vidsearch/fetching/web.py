"""HTTP as fetching needs it: requests that follow redirects safely, and a sentence for everything that goes wrong.

The standard library's client: proxies (`HTTPS_PROXY`, `NO_PROXY`) and certificates (`SSL_CERT_FILE`) as everywhere in
Python. Tokens go to the host that they were meant for and to no other, and no message holds the query of an address,
which is where hosts put signatures.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import IO, TypeVar
from urllib.parse import urlsplit

from vidsearch.errors import ModelError
from vidsearch.fetching.pace import PacedHttp, PacedHttps, TooSlowError
from vidsearch.fetching.remote import Report, RetryPolicy, Waiting

OFFLINE_VARIABLES = ("VIDSEARCH_OFFLINE", "HF_HUB_OFFLINE")
BY_HAND = "or bring the file yourself (vidsearch models add NAME --from FOLDER)"
_LATER = "; try again later"
_YES = {"1", "on", "yes", "true"}
_BUSY = {408, 425, 429}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_NUMBER = re.compile(r"[0-9]{1,18}")
_REDIRECTS = {301, 302, 303, 307, 308}
_Result = TypeVar("_Result")


class HostTroubleError(ModelError):
    """The host does not answer as it should, and may do so later. `after_s`: the wait that it asks for."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class RangeRefusedError(ModelError):
    """The host's answer to a byte range cannot be joined to what is here."""


def offline_by() -> str | None:
    """The environment variable that forbids the network, if one does."""
    return next((name for name in OFFLINE_VARIABLES if is_set(name)), None)


def is_set(variable: str) -> bool:
    """Whether an environment variable says yes."""
    return os.environ.get(variable, "").strip().lower() in _YES


def require_network(what: str) -> None:
    """ModelError if the environment forbids the network; nothing was touched."""
    if variable := offline_by():
        raise ModelError(f"{what} cannot be fetched: {variable} is set; unset it {BY_HAND}")


def shown(url: str) -> str:
    """An address without user, password, query and fragment: what a message may hold."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # a host may send anything as an address
        return "an address that is not one"
    if not parts.netloc:  # a requirement, as in pip:NAME==VERSION
        return url
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


@contextmanager
def opened(url: str, headers: Mapping[str, str], timeout_s: float) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET, redirects followed. ModelError for a refusal; HostTroubleError if a later try may help."""
    with translated(url):
        response = _open(url, headers, timeout_s, _Redirects())
    with response:
        yield response


def head(url: str, headers: Mapping[str, str], timeout_s: float) -> Message:
    """The headers that the host itself gives for a file. A redirect to another host is an answer, not followed."""
    staying = _Redirects(leave_host=False)
    with translated(url):
        try:
            with _open(url, headers, timeout_s, staying, method="HEAD") as response:
                return response.headers
        except urllib.error.HTTPError as error:
            if error.code not in _REDIRECTS:
                raise
            with error:
                return error.headers


def text(url: str, headers: Mapping[str, str], timeout_s: float, *, limit_bytes: int) -> str:
    """The body of a small answer; ModelError when it is larger than `limit_bytes`.

    HostTroubleError for one that drips: it has four times `timeout_s` in all.
    """
    ends_s = time.monotonic() + 4 * timeout_s
    body = b""
    with opened(url, headers, timeout_s) as response, translated(url):
        while len(body) <= limit_bytes and (chunk := response.read1(limit_bytes)):
            body += chunk
            if time.monotonic() > ends_s:
                raise HostTroubleError(f"{shown(url)} answers too slowly{_LATER}")
    if len(body) > limit_bytes:
        raise ModelError(f"the answer of {shown(url)} is too large to be what was asked for; try again later {BY_HAND}")
    return body.decode("utf-8", "replace")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Every failure of the client, while opening or reading, as a sentence about `url`."""
    try:
        yield
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error.code, error.headers) from error
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from error
    except TooSlowError as error:
        raise ModelError(f"{shown(url)} answers at {error}; run the same command again later") from error
    except (http.client.HTTPException, OSError) as error:
        raise _unreachable(url, error) from error
    except ValueError as error:  # from the library that reads addresses and headers
        raise HostTroubleError(f"{shown(url)} answers with what is not HTTP ({error}){_LATER}") from error


def retried(action: Callable[[], _Result], policy: RetryPolicy, report: Report) -> _Result:
    """`action` until the host is well, or until the policy ends: then the last HostTroubleError."""
    for number in range(policy.tries - 1):
        try:
            return action()
        except HostTroubleError as error:
            wait(number, error, policy, report)
    return action()


def wait(number: int, error: HostTroubleError, policy: RetryPolicy, report: Report) -> None:
    """Sleep before another try, `number` counted from 0. ModelError if the host asks for a longer wait."""
    seconds = policy.first_wait_s * 2**number if error.after_s is None else error.after_s
    if seconds > policy.longest_wait_s:
        said = str(error).removesuffix(_LATER)
        raise ModelError(f"{said}; it asks to be left alone for {seconds:.0f} s: run the same command again then")
    report(Waiting(seconds, str(error)))
    time.sleep(seconds)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To https alone, or within a host that the user named with http; never with another host's token."""

    def __init__(self, *, leave_host: bool = True) -> None:
        self._leave_host = leave_host

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        same_host = old.netloc == new.netloc
        plain = new.scheme == "http" and old.scheme == "http" and (same_host or new.hostname in _LOOPBACK)
        if new.scheme != "https" and not plain:
            raise ModelError(f"{shown(req.full_url)} redirects to an address without encryption; it is not followed")
        if not (same_host or self._leave_host):
            return None  # the opener makes an HTTPError of it, which holds the headers
        kept = {name: value for name, value in req.headers.items() if same_host or name.lower() != "authorization"}
        return urllib.request.Request(newurl, headers=kept, method=req.get_method())


def _open(
    url: str, headers: Mapping[str, str], timeout_s: float, redirects: _Redirects, *, method: str = "GET"
) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("https", "http"):
        raise ModelError(f"{shown(url)} is not an address of the web (https); give another")
    # identity: byte ranges and lengths are those of the file
    sent = {"User-Agent": "vidsearch", "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, headers=sent, method=method)
    opener = urllib.request.build_opener(redirects, PacedHttp, PacedHttps)
    response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def _refusal(url: str, status: int, headers: Message) -> ModelError:
    where = shown(url)
    if status in _BUSY or status >= 500:
        return HostTroubleError(f"{where} is not available now (HTTP {status}){_LATER}", _retry_after(headers))
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return RangeRefusedError(f"{where} has no bytes beyond those that are here (HTTP {status})")
    if status in (401, 403):
        return ModelError(
            f"{where} may not be read (HTTP {status}): it does not exist, or needs permission; for Hugging Face "
            f"accept the model's terms there and set HF_TOKEN, {BY_HAND}"
        )
    if status in (404, 410):
        return ModelError(f"there is no file at {where} (HTTP {status}); it may have moved: update vidsearch {BY_HAND}")
    return ModelError(f"{where} refuses the request (HTTP {status}); try again later {BY_HAND}")


def _retry_after(headers: Message) -> float | None:
    """Seconds; the header's other form, a date, is rare and counts as absent."""
    value = number((headers.get("Retry-After") or "").strip())
    return None if value is None else float(value)


def number(text: str | None) -> int | None:
    """A whole number as headers have them; None for anything else, and for one of more digits than any size has."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _unreachable(url: str, reason: object) -> ModelError:
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ModelError(
            f"the certificate of {host} cannot be verified ({reason.verify_message}); "
            "set SSL_CERT_FILE to the certificates that your network needs"
        )
    if isinstance(reason, TimeoutError):
        return HostTroubleError(f"{host} stopped answering; check the connection and run the same command again")
    why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return HostTroubleError(
        f"the connection to {host} failed ({why}); check the network (and HTTPS_PROXY) and run the same command again"
    )
