"""A folder of files that can be made again, kept within a limit: the ones used longest ago go first."""

from __future__ import annotations

from pathlib import Path


def shrink(folder: Path, suffix: str, limit_bytes: int) -> None:
    """Remove the files of that suffix that were read or written longest ago, until the rest is within the limit.

    What a killed process left unfinished counts as well; what another one writes now is young, and stays. Raises
    OSError if the folder cannot be listed.
    """
    entries = []
    for path in folder.iterdir():
        if path.suffix == suffix or path.name.startswith("."):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process shrinks it, too
                continue
            entries.append((status.st_mtime_ns, status.st_size, path))
    left = limit_bytes
    for _, size, path in sorted(entries, reverse=True):
        left -= size
        if left < 0:
            path.unlink(missing_ok=True)
