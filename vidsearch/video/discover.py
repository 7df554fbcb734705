"""Folders → the files that look like videos by their name, each real file once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import VideoErrorKind, VidsearchError
from vidsearch.records import VideoFile
from vidsearch.video.ignore import IgnorePatterns, patterns_of_file
from vidsearch.video.messages import os_refusal, shown

IGNORE_FILE = ".vidsearchignore"

# Compared in lower case. `.gif` is left out: it is a picture format first; a GIF that is named is still read.
# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m1v",
    ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv",
    ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
# fmt: on
DEFAULT_EXCLUDES = (
    "@eaDir/",  # Synology's thumbnails
    "#recycle/",  # Synology's, too
    "$RECYCLE.BIN/",
    "System Volume Information/",
    ".Trash*/",
    ".git/",
    "node_modules/",
    "lost+found/",
)
# Formats whose suffix other things wear as well, told apart by their first bytes.
_SNIFFED_SUFFIXES = frozenset({".ts", ".mts", ".m2t", ".tod"})
TS_SYNC = 0x47
TS_PACKET_BYTES = (188, 192, 204)  # plain, with a time code in front (M2TS), with error correction behind
_TS_SNIFF_BYTES = 4 * 204 + 4


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """A file or folder that the walk met and cannot offer, with a sentence for the user."""

    path: Path
    kind: VideoErrorKind
    message: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A folder, or a file named like a video, that is hidden or excluded by a pattern."""

    path: Path


Found = VideoFile | FoundProblem | LeftOut


WalkedNames = dict[Path, tuple[int, list[str]]]  # a folder → its time in nanoseconds, the names that look like videos


def find_videos(
    root: Path,
    *,
    exclude: Sequence[str] = (),
    include_hidden: bool = False,
    walked: WalkedNames | None = None,
) -> Iterator[Found]:
    """Videos under `root`, folder by folder in the order of their names; nothing of a video is read.

    A `root` that is a file is taken whatever its suffix. `exclude` and the `.vidsearchignore` files hold patterns
    with the meaning of a `.gitignore`, relative to `root` and to their own folder. Hidden names are skipped unless
    `include_hidden`; `._*` companions of macOS and unfinished `*.part` downloads never are videos. Symbolic links
    are followed, each real file and folder once (by device and inode), while hard links are files of their own.
    Pipes and devices are never opened. `walked` is filled with the folders that were listed.

    Raises VidsearchError if `root` is not there or a pattern is not one.
    """
    if not os.path.lexists(root):
        raise VidsearchError(f"{shown(root)} is not there; check the path, or that its disk is connected.")
    if not root.is_dir():
        yield _offer(root)
        return
    walk = _Walk(include_hidden, walked)
    yield from walk.folder(root, [_Patterns(root, [os.fsencode(pattern) for pattern in (*DEFAULT_EXCLUDES, *exclude)])])


def leaves_out(root: Path, file: Path) -> bool:
    """Whether a walk of `root`, a folder above `file`, leaves it out as hidden, or by a pattern of an ignore file."""
    walk = _Walk(include_hidden=False)
    folder, patterns = root, [_Patterns(root, [os.fsencode(pattern) for pattern in DEFAULT_EXCLUDES])]
    for name in file.relative_to(root).parts:
        with suppress(OSError):
            if (folder / IGNORE_FILE).exists():
                patterns = [*patterns, _read_ignore_file(folder)]
        folder /= name
        if isinstance(walk.entry(folder, patterns), LeftOut | None):
            return True
    return False


class _Patterns:
    """Patterns of one source with the folder that they are relative to."""

    def __init__(self, base: Path, patterns: Iterable[bytes]) -> None:
        self._base = base
        self._patterns = IgnorePatterns(patterns)

    def verdict(self, path: Path, is_folder: bool) -> bool | None:
        """True to exclude, False to take back in (`!pattern`), None if no pattern matches."""
        return self._patterns.verdict(os.fsencode(path.relative_to(self._base)), is_folder=is_folder)


@dataclass(slots=True)
class _Entry:
    """One name of a folder with what the system says of it, links followed."""

    path: Path
    status: os.stat_result
    is_link: bool


class _Walk:
    """One walk: which folders it has been in, and which files it has offered through links."""

    def __init__(self, include_hidden: bool, walked: WalkedNames | None = None) -> None:
        self._include_hidden = include_hidden
        self._walked = walked
        self._folders: set[tuple[int, int]] = set()
        self._offered: set[tuple[int, int]] = set()
        self._linked: list[tuple[_Entry, list[_Patterns]]] = []

    def folder(self, root: Path, patterns: list[_Patterns]) -> Iterator[Found]:
        """Everything under `root`. Links wait until all plain names are done, so that a file keeps its own path."""
        yield from self._plain(root, patterns)
        while self._linked:
            entry, inherited = self._linked.pop(0)
            if stat.S_ISDIR(entry.status.st_mode):
                yield from self._plain(entry.path, inherited)
            elif _identity(entry.status) not in self._offered:
                yield from self._file(entry)

    def _plain(self, root: Path, patterns: list[_Patterns]) -> Iterator[Found]:
        """`root` and the folders below it; deep trees need no recursion."""
        waiting = [(root, patterns)]
        while waiting:
            folder, inherited = waiting.pop()
            try:
                status = folder.stat()
                names = sorted(entry.name for entry in folder.iterdir())
            except OSError as error:
                yield _refused(folder, error)
                continue
            if _identity(status) in self._folders:
                continue
            self._folders.add(_identity(status))
            if self._walked is not None:
                self._walked[folder] = status.st_mtime_ns, [name for name in names if looks_like_video(Path(name))]
            active = inherited
            if IGNORE_FILE in names:
                try:
                    active = [*inherited, _read_ignore_file(folder)]
                except OSError as error:
                    yield _refused(folder / IGNORE_FILE, error)
            below: list[tuple[Path, list[_Patterns]]] = []
            for name in names:
                entry = self.entry(folder / name, active)
                if isinstance(entry, FoundProblem | LeftOut):
                    yield entry
                elif entry is not None and entry.is_link:
                    self._linked.append((entry, active))
                elif entry is not None and stat.S_ISDIR(entry.status.st_mode):
                    below.append((entry.path, active))
                elif entry is not None:
                    yield from self._file(entry)
            waiting.extend(reversed(below))

    def entry(self, path: Path, patterns: list[_Patterns]) -> _Entry | FoundProblem | LeftOut | None:
        """What lies at `path`; None if it is skipped silently."""
        if path.name.startswith("._"):
            return None
        if path.name.startswith(".") and not self._include_hidden:
            return LeftOut(path) if looks_like_video(path) or path.is_dir() else None
        try:
            is_link = path.is_symlink()
            status = path.stat()
        except OSError as error:
            # A dead or circular link that looks like a video is worth a word; others are ignored.
            return _refused(path, error) if looks_like_video(path) and not _excluded(path, False, patterns) else None
        is_folder = stat.S_ISDIR(status.st_mode)
        if not (is_folder or looks_like_video(path)):
            return None
        if _excluded(path, is_folder, patterns):
            return LeftOut(path)
        return _Entry(path, status, is_link)

    def _file(self, entry: _Entry) -> Iterator[VideoFile | FoundProblem]:
        if entry.path.suffix.lower() in _SNIFFED_SUFFIXES and not _may_be_transport_stream(entry):
            return
        self._offered.add(_identity(entry.status))
        yield _offer(entry.path)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def looks_like_video(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _excluded(path: Path, is_folder: bool, patterns: list[_Patterns]) -> bool:
    """The innermost file with something to say decides, as in git."""
    for source in reversed(patterns):
        verdict = source.verdict(path, is_folder)
        if verdict is not None:
            return verdict
    return False


def _read_ignore_file(folder: Path) -> _Patterns:
    return _Patterns(folder, patterns_of_file((folder / IGNORE_FILE).read_bytes()))


def file_at(path: Path) -> VideoFile:
    """The file as it is now. VideoError if the system does not tell."""
    try:
        return VideoFile.of(path, path.stat())
    except OSError as error:
        raise os_refusal(path, error) from error


def _offer(path: Path) -> VideoFile | FoundProblem:
    try:
        status = path.stat()
    except OSError as error:
        return _refused(path, error)
    if not stat.S_ISREG(status.st_mode):
        message = f"{shown(path)} is a pipe, socket or device, not a file; leave it out with --exclude."
        return FoundProblem(path, "not-a-file", message)
    return VideoFile.of(path, status)


def _may_be_transport_stream(entry: _Entry) -> bool:
    """False for a `.ts` file that is TypeScript (or a Qt translation): MPEG-TS packets begin with a sync byte.

    A file that cannot be read is not judged here: the reader reports it. An empty one
    is left to the reader, too.
    """
    if not stat.S_ISREG(entry.status.st_mode) or entry.status.st_size == 0:
        return True
    try:
        with entry.path.open("rb") as file:
            head = file.read(_TS_SNIFF_BYTES + max(TS_PACKET_BYTES))
    except OSError:
        return True
    return any(_synchronous(head, step) for step in TS_PACKET_BYTES)


def _synchronous(head: bytes, step: int) -> bool:
    """Whether sync bytes stand at every step from some offset in the first packet: streams may start mid-packet."""
    samples = (head[offset::step] for offset in range(step))
    return any(len(sample) > 1 and set(sample) == {TS_SYNC} for sample in samples)


def _refused(path: Path, error: OSError) -> FoundProblem:
    if path.is_symlink():
        message = f"{shown(path)} is a link that leads to no file; remove it or repair its target."
        return FoundProblem(path, "vanished" if isinstance(error, FileNotFoundError) else "unreadable", message)
    problem = os_refusal(path, error)
    return FoundProblem(path, problem.kind, str(problem))
