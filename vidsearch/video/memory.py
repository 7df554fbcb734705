"""How much memory a decoding worker may take: a small file can state pictures of gigabytes."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

from vidsearch.errors import VideoError
from vidsearch.extras import installed
from vidsearch.size_limits import limit_from_environment
from vidsearch.video.messages import shown

LIMIT_VARIABLE = "VIDSEARCH_DECODER_MB"
DEFAULT_LIMIT_MB = 2000  # twice what 8K takes; most files take a twentieth
SMALLEST_LIMIT_MB = 100


def worker_limit() -> int:
    """`VIDSEARCH_DECODER_MB` in bytes, else 2000 MB. VidsearchError if it is not a number of at least 100."""
    least = f"at least {SMALLEST_LIMIT_MB}"
    return limit_from_environment(LIMIT_VARIABLE, DEFAULT_LIMIT_MB, least_mb=SMALLEST_LIMIT_MB, otherwise=least)


def limit_memory(limit_bytes: int, *, decord: bool = True) -> None:
    """From now on this process gets so much more address space and no more; a request beyond it fails.

    The libraries that readers need are loaded first, so that they do not count; `decord`: that one, too. Does nothing
    on systems without such a limit (macOS takes it and ignores it, Windows has none).
    """
    import vidsearch.video.pyav_reader

    if decord and installed("decord"):
        import vidsearch.video.decord_reader  # noqa: F401
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = address_space_bytes() + limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def has_room(size_bytes: int) -> bool:
    """Whether this process may take so much more now. It is not written to, so that it costs only address space."""
    try:
        mmap.mmap(-1, max(size_bytes, 1)).close()
    except OSError:
        return False
    return True


def out_of_memory(path: Path) -> VideoError:
    """The error for a file whose decoding was refused more memory."""
    return VideoError(
        "memory",
        f"{shown(path)} needs more memory than a decoder may take; allow more with --decoder-memory, "
        "or leave it out with --exclude.",
    )


def says_out_of_memory(printed: str) -> bool:
    """Whether what a process printed before it ended tells of refused memory: C++ libraries abort then."""
    return "bad_alloc" in printed or "Cannot allocate memory" in printed


def address_space_bytes() -> int:
    """How much this process has taken; a gigabyte where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 1 << 30
    return pages * os.sysconf("SC_PAGE_SIZE")
