"""HTTP byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that a Range header asks for; None where the whole file is to be sent.

    A server may ignore what it does not know: other units, and several ranges at once. ValueError for a range of which
    the file has no byte.
    """
    match = _ONE_RANGE.fullmatch((header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        length = int(match[2])
        if length == 0 or size == 0:
            raise ValueError("an empty range")
        return max(0, size - length), size - 1
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None  # not a range at all: ignored, as the standard has it
    if first >= size:
        raise ValueError("a range behind the end")
    return first, min(last, size - 1)
