"""A file of the library, whole or in part, straight from the disk."""

from __future__ import annotations

import email.utils
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from vidsearch.serving.ranges import byte_range
from vidsearch.serving.refusals import RefusedError, not_found
from vidsearch.video.messages import shown

BLOCK_BYTES = 256 * 1024


async def file_response(
    request: Request, path: Path, content_type: str, limiter: anyio.CapacityLimiter, save_as: str | None = None
) -> Response:
    """The bytes that the request asks for; `save_as`: a plain name under which a browser saves them.

    RefusedError for a file that is gone.
    """
    try:
        descriptor = await anyio.to_thread.run_sync(_open, path, limiter=limiter)
    except OSError as error:
        raise not_found(f"{shown(path)} cannot be read now ({error.strerror}).") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise not_found(f"{shown(path)} is not a file any more.")
        tag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
        headers = {
            "accept-ranges": "bytes",
            "etag": tag,
            "last-modified": email.utils.formatdate(status.st_mtime, usegmt=True),
            "cache-control": "private, no-cache",
        }
        if save_as is not None:
            headers["content-disposition"] = f'attachment; filename="{save_as}"'
        asked = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
        try:
            part = byte_range(asked, status.st_size)
        except ValueError:
            os.close(descriptor)
            return Response(status_code=416, headers={**headers, "content-range": f"bytes */{status.st_size}"})
        first, last = part or (0, status.st_size - 1)
        headers["content-length"] = str(last - first + 1)
        if part is not None:
            headers["content-range"] = f"bytes {first}-{last}/{status.st_size}"
        code = 200 if part is None else 206
    except BaseException:
        os.close(descriptor)
        raise
    if request.method == "HEAD":
        os.close(descriptor)
        return Response(status_code=code, headers=headers, media_type=content_type)
    blocks = _blocks(descriptor, first, last, limiter)
    return StreamingResponse(blocks, status_code=code, headers=headers, media_type=content_type)


def _open(path: Path) -> int:
    # Without waiting for a writer if the file has become a pipe meanwhile.
    return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


async def _blocks(descriptor: int, first: int, last: int, limiter: anyio.CapacityLimiter) -> AsyncIterator[bytes]:
    position = first
    try:
        while position <= last:
            wanted = min(BLOCK_BYTES, last + 1 - position)
            block = await anyio.to_thread.run_sync(os.pread, descriptor, wanted, position, limiter=limiter)
            if not block:
                raise RefusedError(500, "The file became shorter while it was sent.")
            position += len(block)
            yield block
    finally:
        os.close(descriptor)
