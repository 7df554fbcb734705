"""Size, first MiB, last 64 KiB → a fingerprint that follows a file when it is renamed or moved."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from vidsearch.video.messages import os_refusal

HEAD_BYTES = 1 << 20
TAIL_BYTES = 1 << 16


def fingerprint(path: Path) -> str:
    """BLAKE2b (32 hex digits) over the size, the first MiB and the last 64 KiB: a 100 GB file costs one small read.

    Two files of one size that differ only between head and tail share a fingerprint; video containers keep their
    index or their first pictures there, so that copies alone do.

    Raises VideoError ("unreadable" or "vanished") if the system refuses.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
            digest.update(file.read(HEAD_BYTES))
            file.seek(max(size - TAIL_BYTES, 0))
            digest.update(file.read(TAIL_BYTES))
    except OSError as error:
        raise os_refusal(path, error) from error
    return digest.hexdigest()
