"""What a run of `vidsearch index` has to do with a root: what the walk found against what the library remembers.

Nothing is decoded and, for files that look unchanged, nothing is read. A file is fingerprinted only if that can
decide something: its time changed but not its size, or it is new and some video in the library has its size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import VideoError
from vidsearch.records import Extractor, VideoFile, WindowSpec
from vidsearch.store.availability import Availability, stat_state
from vidsearch.store.contents import is_same_content
from vidsearch.store.paths import is_within, sort_key

Fingerprint = Callable[[Path], str]

# These say how things stood at that moment, not what is in the file: the next run tries again unasked.
PASSING_ERRORS = frozenset({"vanished", "changing"})


@dataclass(frozen=True, slots=True)
class Known:
    """A video of the library. `done`: the extractors that have given what they can of its content."""

    id: int
    path: Path
    size_bytes: int
    mtime_ns: int
    device: str
    fingerprint: str | None
    failed: bool
    error_kind: str | None
    done: frozenset[Extractor]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a walk found below `root` (a folder or a file), and what is wanted of it.

    `fingerprint` must cover the size of a file; it is called only if it can decide something. A VideoError from it
    leaves the file to be indexed, where the error is met again and recorded. `unreadable`: folders the walk could not
    look into; nothing below them counts as deleted. `suffixes`: of the names that the walk takes for videos, in lower
    case; a file that is there and has one of them, but was not found, is excluded now.
    """

    root: Path
    found: Sequence[VideoFile]
    extractors: frozenset[Extractor]
    fingerprint: Fingerprint
    retry_failed: bool = False
    unreadable: Sequence[Path] = ()
    suffixes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moved:
    """A video that left `old` and whose content is at `new`: its vectors go along."""

    video_id: int
    old: Path
    new: VideoFile


@dataclass(frozen=True, slots=True)
class Copied:
    """Another file with the content of `source`, where it is after all moves: its rows are copied."""

    source: Path
    file: VideoFile
    fingerprint: str


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What to do, each group in a fixed order. `Library.apply` does all but `to_index`, which needs decoding."""

    root: Path
    offline: bool  # the root is out of reach: nothing of it leaves the library
    to_index: tuple[VideoFile, ...] = ()  # newest first
    unchanged: tuple[VideoFile, ...] = ()
    moved: tuple[Moved, ...] = ()
    copied: tuple[Copied, ...] = ()
    refingerprinted: tuple[VideoFile, ...] = ()  # another time, the same content: vectors stay
    failed_before: tuple[VideoFile, ...] = ()  # skipped until they change
    gone: tuple[Path, ...] = ()  # deleted
    kept_offline: tuple[Path, ...] = ()  # missing, but out of reach rather than deleted
    excluded: tuple[Path, ...] = ()  # there, but the walk leaves them out now: they leave the library
    recut: tuple[WindowSpec, ...] = ()  # for each video to index again because of its windows: what these were
    embedded_again: int = 0  # videos to index again because still windows are to have vectors of their own
    fingerprints: Mapping[Path, str] | None = None  # those that had to be taken for the plan

    @property
    def finds_nothing(self) -> bool:
        """Whether the walk found no video, and none is missing but out of reach."""
        found = (self.to_index, self.unchanged, self.moved, self.copied, self.refingerprinted, self.failed_before)
        return not any(found) and not self.kept_offline


def make_plan(
    request: PlanRequest,
    known: Sequence[Known],
    availability: Availability,
    *,
    offline: bool,
    inner_roots: Sequence[Path] = (),
) -> IndexPlan:
    """`known` is the whole library: a file may come from another root. `offline`: the root is out of reach.

    `inner_roots`: those below this one, whose videos were asked for by name and are not excluded with their folder.
    """
    planner = _Planner(request, known, availability, inner_roots)
    planner.compare()
    planner.look_for_missing()
    planner.place_unmatched()
    return IndexPlan(
        root=request.root,
        offline=offline,
        to_index=tuple(sorted(planner.to_index, key=lambda file: (-file.mtime_ns, sort_key(file.path)))),
        unchanged=tuple(planner.unchanged),
        moved=tuple(planner.moved),
        copied=tuple(planner.copied),
        refingerprinted=tuple(planner.touched),
        failed_before=tuple(planner.failed_before),
        gone=tuple(sorted((row.path for row in planner.missing.values()), key=sort_key)),
        kept_offline=tuple(planner.kept_offline),
        excluded=tuple(planner.excluded),
        recut=tuple(planner.recut),
        embedded_again=planner.embedded_again,
        fingerprints=dict(planner.fingerprints),
    )


class _Planner:
    """The lists of a plan while they grow."""

    def __init__(
        self, request: PlanRequest, known: Sequence[Known], availability: Availability, inner_roots: Sequence[Path]
    ) -> None:
        self._request = request
        self._inner_roots = inner_roots
        self._known = {row.path: row for row in known}
        self._sizes = {row.size_bytes for row in known if row.fingerprint is not None}
        self._availability = availability
        self._seen: set[Path] = set()
        self._unmatched: list[VideoFile] = []  # files whose content is not what the library has at that path
        self._replaced: dict[int, Known] = {}  # videos whose path now holds something else
        self.missing: dict[int, Known] = {}
        self.fingerprints: dict[Path, str] = {}
        self.to_index: list[VideoFile] = []
        self.unchanged: list[VideoFile] = []
        self.touched: list[VideoFile] = []
        self.failed_before: list[VideoFile] = []
        self.moved: list[Moved] = []
        self.copied: list[Copied] = []
        self.kept_offline: list[Path] = []
        self.excluded: list[Path] = []
        self.recut: list[WindowSpec] = []
        self.embedded_again = 0

    def compare(self) -> None:
        """Sorts what was found into known and unmatched."""
        for file in sorted(self._request.found, key=lambda file: sort_key(file.path)):
            self._seen.add(file.path)
            row = self._known.get(file.path)
            if row is None:
                self._unmatched.append(file)
                continue
            if (row.size_bytes, row.mtime_ns) == (file.size_bytes, file.mtime_ns):
                self._availability.note_seen(file.path, row.device)
                if self._settle(row, file, retry=self._request.retry_failed or _may_work_now(row)):
                    self.unchanged.append(file)
            elif row.size_bytes == file.size_bytes and row.fingerprint is not None and self._is_content_of(row, file):
                self._availability.note_seen(file.path, row.device)
                self.touched.append(file)
                self._settle(row, file, retry=True)
            else:
                self._replaced[row.id] = row
                self._unmatched.append(file)

    def look_for_missing(self) -> None:
        """Finds out about the videos below the root that the walk did not see."""
        for row in sorted(self._known.values(), key=lambda row: sort_key(row.path)):
            if row.path in self._seen or not is_within(row.path, self._request.root):
                continue
            where = self._availability.where_is(row.path, row.device)
            if where == "there" and not row.path.is_file():
                where = "gone"  # a folder, a pipe or a dead link has taken its name
            if any(is_within(row.path, folder) for folder in self._request.unreadable):
                where = "offline"
            if where == "gone":
                self.missing[row.id] = row
            elif where == "offline":
                self.kept_offline.append(row.path)
            elif self._is_excluded(row.path):
                self.excluded.append(row.path)

    def _is_excluded(self, path: Path) -> bool:
        """Whether a file that is there was left out by the walk's rules: not if it was given by its own name."""
        named = any(is_within(path, inner) for inner in self._inner_roots)
        return path.suffix.lower() in self._request.suffixes and not named

    def place_unmatched(self) -> None:
        """For each new content: moved from elsewhere, a copy of something known, or to be indexed."""
        donors: dict[str, list[Known]] = {}
        for row in sorted(self._known.values(), key=lambda row: sort_key(row.path)):
            if row.fingerprint is not None:
                donors.setdefault(_ends(row.fingerprint), []).append(row)
        placed: dict[str | None, Path] = {}  # where contents have moved to: a second file of one is its copy
        for file in self._unmatched:
            content = self._read(file.path) if file.size_bytes in self._sizes else None
            alike = donors.get(_ends(content), []) if content is not None else []
            twins = [row for row in alike if content is not None and is_same_content(row.fingerprint, content)]
            left = next((row for row in twins if self._has_left(row)), None)
            stays = None if left else next((row for row in twins if self._can_be_copied(row, content)), None)
            source = stays.path if stays is not None else placed.get(content)
            if left is not None:
                alike.remove(left)
                self.missing.pop(left.id, None)
                self.moved.append(Moved(left.id, left.path, file))
                if self._is_done(left) and not left.failed and left.fingerprint == content:
                    placed[content] = file.path
                self._settle(left, file, retry=self._request.retry_failed or _may_work_now(left))
            elif source is not None and content is not None:
                self.copied.append(Copied(source, file, content))
            else:
                self.to_index.append(file)

    def _settle(self, row: Known, file: VideoFile, *, retry: bool) -> bool:
        """Puts a file with known content where it belongs; True if nothing is to be done about its vectors."""
        if row.failed and retry:
            self.to_index.append(file)
        elif self._is_done(row):
            return True
        elif row.failed:
            self.failed_before.append(file)
        else:
            self.to_index.append(file)
            self._note_recut(row)
        return False

    def _note_recut(self, row: Known) -> None:
        """Says of a video whose vectors are of another kind of window what these were; or that some are no own ones."""
        models = {extractor.model for extractor in self._request.extractors}
        wanted = {extractor.window_spec for extractor in self._request.extractors}
        before = {done.window_spec for done in row.done if done.model in models}
        self.recut.extend(before - wanted)
        self.embedded_again += bool(before & wanted)

    def _is_done(self, row: Known) -> bool:
        return self._request.extractors <= row.done

    def _can_be_copied(self, row: Known, content: str | None) -> bool:
        """Whether what is known of a video that stays is true of another file, too.

        An older fingerprint says too little of the content for that: the video's file is read again.
        """
        return self._is_done(row) and not row.failed and (content == row.fingerprint or content == self._read(row.path))

    def _is_content_of(self, row: Known, file: VideoFile) -> bool:
        read = self._read(file.path)
        return read is not None and is_same_content(row.fingerprint, read)

    def _has_left(self, row: Known) -> bool:
        if row.id in self._replaced or row.id in self.missing:
            return True
        return row.path not in self._seen and self._availability_at_home(row) == "gone"

    def _availability_at_home(self, row: Known) -> str:
        """As `where_is`, for content found elsewhere: a folder missing from a disk that is there was renamed."""
        if stat_state(row.path) == "absent" and self._availability.is_same_device(row.path, row.device):
            return "gone"
        return self._availability.where_is(row.path, row.device)

    def _read(self, path: Path) -> str | None:
        """The fingerprint, taken once; None if the file cannot be read, which indexing it will record."""
        if path not in self.fingerprints:
            try:
                self.fingerprints[path] = self._request.fingerprint(path)
            except VideoError:
                return None
        return self.fingerprints[path]


def _ends(fingerprint: str) -> str:
    """What the older and the newer form of a content's fingerprint have in common."""
    return fingerprint.partition("-")[0]


def _may_work_now(row: Known) -> bool:
    """Whether an unchanged file that failed is worth another try: permissions leave no trace in size and time."""
    return row.error_kind in PASSING_ERRORS or (row.error_kind == "unreadable" and os.access(row.path, os.R_OK))
