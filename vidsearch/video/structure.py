"""Where the bytes of a container promise to end, read without a demuxer."""

from __future__ import annotations

import math
from pathlib import Path

from vidsearch.video.discover import TS_PACKET_BYTES, TS_SYNC
from vidsearch.video.ebml import is_matroska, segment_end


def promised_end(path: Path) -> int | None:
    """Where a Matroska segment, an AVI or a transport packet says that it ends, in bytes; None: nowhere."""
    with path.open("rb") as file:
        head = file.read(4096)
    for step in TS_PACKET_BYTES:
        if len(head) > 3 * step and all(byte == TS_SYNC for byte in head[::step]):
            return math.ceil(path.stat().st_size / step) * step
    if head[:4] == b"RIFF" and len(head) >= 8:
        return 8 + int.from_bytes(head[4:8], "little")
    return segment_end(head) if is_matroska(head) else None
