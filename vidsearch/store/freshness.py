"""Is a library behind its folders? Judged from the times of folders, kept when they were last walked.

A file beside the library keeps, for each folder of a walk, its modification time and a digest of the names in it that
look like videos. A query compares the times: a new, renamed or missing file changes that of its folder, and only such a
folder is listed again, since other files change it as well. A file that is overwritten in place changes no folder, and
is found by the next walk. The file is a cache: without it nothing is said.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vidsearch.files import replacing

NAME = "folders.json"
MOST_FOLDERS = 20_000  # of all walks together: more would take longer to read than a query may wait
DEADLINE_S = 0.005
_VERSION = 1
_log = logging.getLogger(__name__)

WalkedFolders = Mapping[Path, tuple[int, str]]  # a folder → its time in nanoseconds, the digest of its videos' names


def names_digest(names: Iterable[str]) -> str:
    """What tells two sets of names apart."""
    from hashlib import blake2b  # late: OpenSSL comes with it, and only a folder that has changed is hashed

    digest = blake2b(digest_size=8)
    for name in sorted(names):
        digest.update(os.fsencode(name) + b"\0")
    return digest.hexdigest()


def keep_walk(home: Path, root: Path, folders: WalkedFolders) -> None:
    """Remember a walk of `root` in place of the one before; what cannot be written is not remembered."""
    kept = _read(home)
    kept[os.fspath(root)] = {os.fspath(path): list(facts) for path, facts in folders.items()}
    if sum(map(len, kept.values())) > MOST_FOLDERS:
        _log.info("more than %d folders: their times are not kept", MOST_FOLDERS)
        kept.pop(os.fspath(root))
    try:
        with replacing(home / NAME) as partial:
            partial.write_text(
                json.dumps({"version": _VERSION, "walks": kept}), encoding="utf-8", errors="surrogateescape"
            )
    except OSError as error:
        _log.info("%s cannot be written (%s)", home / NAME, error.strerror)


def changed_folders(
    home: Path, looks_like_video: Callable[[Path], bool], roots: Iterable[Path], deadline_s: float | None = None
) -> dict[Path, int]:
    """The roots that the library is behind, each with the number of its folders whose videos have changed.

    At most `deadline_s` (None: 5 ms) are spent, a listing of one folder more: in a large tree some folders are not
    looked at. A root that is not there is offline, which is told elsewhere.
    """
    end_s = time.perf_counter() + (DEADLINE_S if deadline_s is None else deadline_s)
    behind: dict[Path, int] = {}
    walks = _read(home)
    for root in roots:
        if not root.exists():
            continue
        for folder, (mtime_ns, digest) in walks.get(os.fspath(root), {}).items():
            if time.perf_counter() > end_s:
                return behind
            if _has_changed(Path(folder), mtime_ns, digest, looks_like_video):
                behind[root] = behind.get(root, 0) + 1
    return behind


def _has_changed(folder: Path, mtime_ns: int, digest: str, looks_like_video: Callable[[Path], bool]) -> bool:
    try:
        if folder.stat().st_mtime_ns == mtime_ns:
            return False
        return names_digest(path.name for path in folder.iterdir() if looks_like_video(path)) != digest
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _read(home: Path) -> dict[str, dict[str, list]]:
    try:
        kept = json.loads((home / NAME).read_text(encoding="utf-8", errors="surrogateescape"))
        walks = kept["walks"] if kept["version"] == _VERSION else {}
        for folders in walks.values():
            for mtime_ns, digest in folders.values():
                if not isinstance(mtime_ns, int) or not isinstance(digest, str):
                    return {}
        return walks if isinstance(walks, dict) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
