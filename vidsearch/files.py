"""Files and folders that are written whole or not at all, their hashes, and their paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

UNFINISHED_SUFFIX = ".tmp"  # of the hidden file that a killed `replacing` leaves behind
_CHUNK_BYTES = 1 << 20
_MOST_NS = (1 << 63) - 1
_PUBLIC, _PRIVATE = 0o666, 0o600


def modified_ns(status: os.stat_result) -> int:
    """When a file was last written, as a database keeps it: a time beyond its 64 bits (the year 2262) is their last."""
    return min(max(status.st_mtime_ns, -_MOST_NS), _MOST_NS)


def absolute(path: Path) -> Path:
    """The path from the root, without `..`; links in it stay: they may be how the user knows the place."""
    return Path(os.path.abspath(path))  # noqa: PTH100  Path.absolute() leaves `..` in


def within_known(path: Path, places: Iterable[Path]) -> Path:
    """`path`, absolute, written by that one of `places` in which it lies: also if a link leads from one to the other.

    A path that lies in none of them stays.
    """
    known = list(places)
    if not any(path == place or place in path.parents for place in known):
        real = os.path.realpath(path)
        for place in known:
            real_place = os.path.realpath(place)
            if real == real_place or real.startswith(real_place.rstrip(os.sep) + os.sep):
                return place / os.path.relpath(real, real_place)
    return path


@contextmanager
def replacing(path: Path, *, durable: bool = False, private: bool = False) -> Iterator[Path]:
    """An empty file beside `path` to write to. It takes the place of `path` if the block ends well, else it is deleted.

    A reader sees the old file or the new one, never a part of one. `durable`: the content and the new name are on the
    disk when this returns (fsync), so that they survive a power cut. `private`: only the user may read the file.
    Raises OSError where the system refuses.
    """
    partial = _empty_file_beside(path, _PRIVATE if private else _PUBLIC)
    try:
        yield partial
        if durable:
            _sync(partial)
        partial.replace(path)
        if durable:
            _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """The same for a folder, whose parent exists: a fresh folder to fill, `.NAME.PID.part` beside `folder`.

    Folders cannot be exchanged in one step everywhere: the old one moves aside, to `.NAME.PID.old`, and comes back if
    the new one cannot take its place. `restore_folder` mends what a process left that was killed in between.
    """
    import shutil  # late, as everywhere here: a query replaces no folder

    partial = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _exchange(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Remove what killed `replacing_folder` left of `folder`, and bring it back if it had moved aside.

    The caller holds the lock under which `folder` is replaced.
    """
    import shutil

    for old in folder.parent.glob(f".{folder.name}.*.old"):
        if not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    for partial in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(partial, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it; its name is gone in one step, so that no half of it is ever seen."""
    import shutil

    leaving = folder.with_name(f".{folder.name}.leaving")
    shutil.rmtree(leaving, ignore_errors=True)
    folder.rename(leaving)
    shutil.rmtree(leaving)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    import hashlib  # late: OpenSSL comes with it, and a query hashes nothing

    return digest_of(path, hashlib.sha256())


def digest_of(path: Path, digest: hashlib._Hash) -> str:
    """Hexadecimal digest after `digest` has taken in a file's bytes."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def why_not_writable(folder: Path) -> str | None:
    """Make `folder` if it is missing. None if files can be written into it, else what is wrong."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"cannot be made ({error.strerror})"
    return None if os.access(folder, os.W_OK) else "may not be written"


def _empty_file_beside(path: Path, mode: int) -> Path:
    """A new file of a name of its own; who may read it follows from `mode` and the process's mask."""
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}{UNFINISHED_SUFFIX}")
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return partial


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(partial: Path, folder: Path) -> None:
    import shutil

    if not folder.exists():
        partial.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
