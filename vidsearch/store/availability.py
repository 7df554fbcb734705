"""Whether a video that is not in its place was deleted or only lies on a disk that is not plugged in.

A deleted file leaves the library, a file that is out of reach stays. The sign is the file system: the library remembers
on which one each video lay, and a video that is missing counts as deleted only if the nearest folder that still exists
is on that same one. The mount point of an unplugged disk lies on the file system around it, so it can be told.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from vidsearch.frozen import dataclass
from vidsearch.store.paths import is_within

StatState = Literal["there", "absent", "unreachable"]
Whereabouts = Literal["there", "gone", "offline"]


@dataclass(frozen=True, slots=True)
class Root:
    """A folder, or a single file, that was given to `vidsearch index`, as it was when last seen."""

    path: Path
    is_folder: bool
    device: str
    inode: str  # text: a file system may use all 64 bits, SQLite's integers are signed


def stat_state(path: Path) -> StatState:
    """`unreachable`: the system does not say (permissions, a dead mount, an input/output error)."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "unreachable"
    return "there"


def device_of(folder: Path) -> str:
    """An identity of the file system that holds an existing folder.

    `f_fsid` if there is one: for most systems it comes from the disk itself and survives a reboot and another port;
    the device number is given out in the order of plugging in.
    """
    if hasattr(os, "statvfs"):
        identity = os.statvfs(folder).f_fsid
        if identity:
            return f"fs{identity:x}"
    return f"dev{folder.stat().st_dev:x}"


def describe_root(path: Path) -> Root:
    """The root as it is now; OSError if it is not there."""
    status = path.stat()
    is_folder = path.is_dir()
    return Root(path, is_folder, device_of(path if is_folder else path.parent), f"{status.st_ino:x}")


class Availability:
    """Answers about many files of one moment; what it saw of folders it keeps, so ask a new one after a while."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._roots = tuple(roots)
        self._devices: dict[Path, str | None] = {}
        self._offline_roots: dict[Path, bool] = {}
        self._renumbered: set[tuple[str, str]] = set()

    def device_near(self, path: Path) -> str | None:
        """The file system of the nearest folder above `path` that exists; None if that cannot be told."""
        folder = path.parent
        if folder not in self._devices:
            self._devices[folder] = self._find_device(folder)
        return self._devices[folder]

    def note_seen(self, path: Path, remembered: str) -> None:
        """A known video lies where it was: if its file system has another identity now, then that was renumbered."""
        now = self.device_near(path)
        if now is not None and now != remembered:
            self._renumbered.add((remembered, now))

    def root_is_offline(self, root: Root) -> bool:
        """Out of reach, or an empty folder that is not the one which was indexed (a mount point without its disk)."""
        if root.path not in self._offline_roots:
            self._offline_roots[root.path] = self._judge_root(root)
        return self._offline_roots[root.path]

    def where_is(self, path: Path, device: str) -> Whereabouts:
        """What became of a video that was indexed at `path` on the file system `device`."""
        state = stat_state(path)
        if state == "there":
            return "there"
        if state == "unreachable" or any(
            is_within(path, root.path) and self.root_is_offline(root) for root in self._roots
        ):
            return "offline"
        return "gone" if self.is_same_device(path, device) else "offline"

    def is_same_device(self, path: Path, device: str) -> bool:
        """Whether the nearest existing folder above `path` lies on the file system `device`, maybe renumbered."""
        now = self.device_near(path)
        return now is not None and (now == device or (device, now) in self._renumbered)

    def _find_device(self, folder: Path) -> str | None:
        try:
            return device_of(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None if folder == folder.parent else self.device_near(folder)
        except OSError:
            return None

    def _judge_root(self, root: Root) -> bool:
        try:
            now = describe_root(root.path)
        except (FileNotFoundError, NotADirectoryError):
            # A single file that is missing from its folder was deleted; a folder may have been a disk's.
            return root.is_folder or not self.is_same_device(root.path, root.device)
        except OSError:
            return True
        if not now.is_folder:
            return False
        replaced = (now.device, now.inode) != (root.device, root.inode)
        return replaced and _is_empty(root.path)


def _is_empty(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return True  # nothing can be seen in it
