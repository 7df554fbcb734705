"""Freed memory stays with the process.

glibc gives every large block back to the kernel when it is freed, and the kernel zeroes it again, page by page, for the
next tensor of the same size: two fifths of the time that both encoders of `ask` take (benchmarks/ask.py), a third of
that of `index` with conse-lite2.
"""

from __future__ import annotations

import sys

# malloc.h of glibc
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Tell the C library of this process to use freed memory again; False if it is not glibc or lacks the option.

    It holds for the whole process, so it is for the program to decide and not for a library within another one.
    """
    if sys.platform != "linux":
        return False
    import ctypes  # late: only asking and indexing need it

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
