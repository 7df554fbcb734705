"""What this machine gives to the process."""

from __future__ import annotations

import os
import platform
from pathlib import Path

# What names it: the first three on x86, the others on ARM.
_NAMING = ("model name", "cpu family", "model", "CPU implementer", "CPU part")


def cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The kind of processor, with its family and model where Linux tells them: virtual machines shorten the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    first: dict[str, str] = {}
    for line in lines:
        field, _, value = line.partition(":")
        first.setdefault(field.strip(), value.strip())
    told = [first[field] if field == "model name" else f"{field} {first[field]}" for field in _NAMING if field in first]
    return ", ".join(told) or platform.processor() or platform.machine()


def is_busy() -> bool:
    """Whether more has been running in the last minute than there are cores, where the system tells."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 1.25 * cores()


def let_waiting_threads_sleep() -> None:
    """Decoders and the network share the cores: a thread that spins at a barrier takes them from the other.

    Read by OpenMP when torch loads it, so it must be set before; a user's own setting stands. Without it a run over
    many short clips took a third longer (benchmarks/indexing.py), and on a machine that is busy with other work a
    measurement of torch says fifty times too much.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def let_waiting_threads_sleep_if_busy() -> None:
    """For what shares the cores with other programs at most: as above, where there are more threads than cores now.

    On two cores beside ten other processes an answer took 27 s of processor time, where it took 72 with threads that
    spin, and 64 s instead of 158 (docs/ask.md); with the cores to itself it takes a few per cent less if they spin.
    """
    if is_busy():
        let_waiting_threads_sleep()
