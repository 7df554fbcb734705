"""Requests that are refused, and the HTTP status of every error."""

from __future__ import annotations

from vidsearch.errors import LibraryError, ModelError, VideoError, VidsearchError


class RefusedError(VidsearchError):
    """A request that cannot be answered as it is: `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def bad_request(message: str) -> RefusedError:
    """A field that is missing, unknown or out of its range."""
    return RefusedError(400, message)


def not_found(message: str) -> RefusedError:
    """Something that the library does not hold."""
    return RefusedError(404, message)


def status_of(error: VidsearchError) -> int:
    """What HTTP calls an error of vidsearch: what the client can mend is 4xx, what stands in the server's way 503."""
    match error:
        case RefusedError():
            return error.status
        case VideoError(kind="vanished"):
            return 404
        case VideoError():
            return 422
        case LibraryError() | ModelError():
            return 503
    return 400
