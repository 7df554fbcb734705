"""What one stage hands the next. Plain values; times are container presentation times in seconds."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidsearch.files import modified_ns
from vidsearch.frozen import dataclass

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

VideoState = Literal["indexed", "failed", "offline"]
ReaderName = Literal["decord", "pyav"]
Fit = Literal["squash", "centre-crop", "inside", "as-is"]
SortBy = Literal["score", "time", "date", "name"]
GroupBy = Literal["video"]
RuntimeName = Literal["torch", "onnx"]
Precision = Literal["float32", "bfloat16"]
# A window that shows what an earlier one showed takes over its vector (reuse), or gets its own (embed).
Still = Literal["reuse", "embed"]
WindowKind = Literal["grid", "shots"]
# Why an answer ended: the model ended it (stop), at its limit of tokens (length), because the model takes no more
# positions (context), or it was left before its end (interrupted).
FinishReason = Literal["stop", "length", "context", "interrupted"]


PICTURE_SIDE = 8  # of the grey picture that is kept of each window


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A file that the walk found and that looks like a video by its name; nothing of it was read."""

    path: Path
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> VideoFile:
        """The file as the system describes it."""
        return cls(path, status.st_size, modified_ns(status))


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """The picture a model wants: `side_px` square; `squash` ignores the aspect ratio, `centre-crop` keeps it.

    `inside` gives the whole picture, its longer side at most `side_px` and both sides even; `as-is` gives it in its own
    size, whatever `side_px` says.
    """

    side_px: int
    fit: Fit = "squash"


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a video is cut: `frames` frames spread over `length_s`, a new window every `stride_s`.

    `kind` "shots": a window is a shot, one longer than `length_s` is cut; `stride_s` is then `length_s`.
    """

    length_s: float = 8.0
    stride_s: float = 4.0
    frames: int = 8
    kind: WindowKind = "grid"


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a reader found out about one video. Width and height are those of the upright picture."""

    start_s: float  # presentation time of the first frame shown
    picture_s: float  # from the start of the first frame to the end of the last one; measured
    fps: float  # average: frames shown / picture_s
    frames: int  # frames that a player would show
    width_px: int
    height_px: int
    codec: str
    container: str
    rotation_deg: int  # clockwise, 0, 90, 180 or 270; already applied to the frames
    reader: ReaderName
    damage: str | None = None  # one sentence when only a part could be read ("partial"), else None
    stated_s: float | None = None  # the length that the container states, sound included; not to be believed
    recorded_s: float | None = None  # when it was recorded, after the container, in seconds of Unix time

    @property
    def duration_s(self) -> float:
        """The length as players tell it: what the container states of a whole file, else what the pictures fill.

        Many containers count it from 0, and sound may be longer: the pictures end at start_s + picture_s.
        """
        return self.picture_s if self.stated_s is None or self.damage else self.stated_s


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """One window of a video: [start_s, end_s) and the times at which its frames are taken."""

    start_s: float
    end_s: float
    times_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The pixels of one window: uint8 RGB, (T, H, W, 3), upright, already at the side of the FrameSpec."""

    window: ClipWindow
    frames: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VectorExtractor:
    """Makes the vectors of a model over windows of one kind: one thing that can be taken from a video.

    `still`: "reuse" does not mind whether still windows took over a vector, "embed" wants every window's own.
    """

    model: str
    window_spec: WindowSpec
    still: Still = "reuse"


Extractor = VectorExtractor  # the union of all kinds; the library knows per video and extractor what was done


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a network, and the precision in which it computes."""

    name: RuntimeName
    precision: Precision

    def __str__(self) -> str:
        return f"{'ONNX Runtime' if self.name == 'onnx' else self.name} {self.precision}"


@dataclass(frozen=True, slots=True)
class IndexedVideo:
    """One video as it goes into the library: what it is, its windows, and their vectors by one model."""

    file: VideoFile
    fingerprint: str  # of the content that was decoded
    facts: VideoFacts
    windows: tuple[ClipWindow, ...]
    vectors: NDArray[np.floating]  # (windows, E), of any length but zero
    model: str
    window_spec: WindowSpec
    pictures: NDArray[np.uint8] | None = None  # (windows, 8, 8) grey, what each looks like; None: not known
    runtimes: frozenset[Runtime] = frozenset()  # what made the vectors, two where it changed; none: not known
    still_windows: int = 0  # that show what an earlier one showed, and took over its vector


@dataclass(frozen=True, slots=True)
class Term:
    """Something to look for, in words. `weight`: its share in the sum of the terms' vectors; below 0: what to avoid."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LikeFile:
    """Something that looks like a picture, or like a video from `start_s` to `end_s` (None: its ends)."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None
    weight: float = 1.0

    @property
    def text(self) -> str:
        """As it is shown to people."""
        return f"like {self.path.name}"


@dataclass(frozen=True, slots=True)
class LikeHit:
    """Something that looks like a hit of the last query, by its number."""

    number: int
    weight: float = 1.0

    @property
    def text(self) -> str:
        """As it is shown to people."""
        return f"like hit {self.number}"


AnyTerm = Term | LikeFile | LikeHit


@dataclass(frozen=True, slots=True)
class Under:
    """Only videos at or below `path`, which is absolute in the library."""

    path: Path


@dataclass(frozen=True, slots=True)
class NotUnder:
    """No videos at or below `path`."""

    path: Path


@dataclass(frozen=True, slots=True)
class Named:
    """Only files whose name fits a pattern with * and ?, in which upper and lower case are the same."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Suffix:
    """Only files whose name ends with a dot and this, in lower case: `mp4`."""

    suffix: str


@dataclass(frozen=True, slots=True)
class ReadBy:
    """Only videos that this reader decoded."""

    reader: ReaderName


@dataclass(frozen=True, slots=True)
class Since:
    """Only videos recorded at `moment` or later. Local time where it names no zone."""

    moment: datetime


@dataclass(frozen=True, slots=True)
class Before:
    """Only videos recorded before `moment`. Local time where it names no zone."""

    moment: datetime


@dataclass(frozen=True, slots=True)
class MinDuration:
    """Only videos of this length or longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class MaxDuration:
    """Only videos of this length or shorter."""

    seconds: float


@dataclass(frozen=True, slots=True)
class MinHeight:
    """Only videos whose upright picture has so many rows or more."""

    pixels: int


@dataclass(frozen=True, slots=True)
class LeftOutVideos:
    """None of the videos with these numbers in the library: a search that goes deeper leaves them out."""

    ids: frozenset[int]


# In a Query, filters of one of these kinds are alternatives to each other: folders, names, endings, readers.
Alternative = Under | Named | Suffix | ReadBy


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Only videos that pass one of these filters: how a search is told of alternatives."""

    filters: tuple[Alternative, ...]


# The union of all kinds of filter; a search finds the videos that pass every filter it is given.
Filter = Alternative | NotUnder | Since | Before | MinDuration | MaxDuration | MinHeight | AnyOf | LeftOutVideos


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for, in which videos, and how much of it to show.

    `top` moments (videos, where `group` is "video"), at most `per_video` of one video, only those that score
    `min_score` or more. `sort` is the order in which these are shown: the best first, by file and time, the newest
    video first, or by the file's name. `duplicates`: moments that show the same footage each count. `sources`: what
    terms are like may be among the hits. `exact` compares with every window, whatever the size of the library. The
    package `query_text` has the form that people write.
    """

    terms: tuple[AnyTerm, ...]
    filters: tuple[Filter, ...] = ()
    top: int = 10
    per_video: int = 3
    min_score: float | None = None
    exact: bool = False
    sort: SortBy = "score"
    group: GroupBy | None = None
    duplicates: bool = False
    sources: bool = True

    @property
    def text(self) -> str:
        """What is looked for, as it is shown to people: `a dog + snow - a beach`."""
        pieces = [("- " if term.weight < 0 else "+ ") + term.text for term in self.terms]
        return " ".join(pieces).removeprefix("+ ")


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """One window with its cosine to the query: what a search of the library gives."""

    video_id: int
    path: Path
    start_s: float
    end_s: float
    score: float
    offline: bool = False
    fingerprint: str | None = None  # of the video's content
    date_s: float | None = None  # when the video was recorded, in seconds of Unix time
    date_recorded: bool = False  # the container says so; else it is when the file was last written
    judged: float | None = None  # the cosine by which its level is told, where that is not the score


@dataclass(frozen=True, slots=True)
class WindowVectors:
    """The windows of a video in a library, and what a model made of them."""

    file: VideoFile  # as it was indexed
    fingerprint: str | None
    spans_s: NDArray[np.float64]  # (n, 2): start and end
    vectors: NDArray[np.float32]  # (n, E), unit length
    pictures: NDArray[np.uint8] | None = None  # (n, 8, 8) grey


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment: neighbouring windows of one video merged. `number` counts from 1 in the order shown."""

    number: int
    path: Path
    start_s: float
    end_s: float
    best_s: float  # the middle of the best window
    score: float
    model: str
    offline: bool = False
    fingerprint: str | None = None  # of the content that it is a moment of
    date_s: float | None = None  # when the video was recorded, in seconds of Unix time
    date_recorded: bool = False  # the container says so; else it is when the file was last written
    judged: float | None = None  # the cosine by which its level is told, where that is not the score
    more: int = 0  # moments that show the same footage and are left out for it

    @property
    def level_score(self) -> float:
        """The cosine by which its level is told: a model's levels are measured with words that something shows."""
        return self.score if self.judged is None else self.judged


@dataclass(frozen=True, slots=True)
class VideoRow:
    """One line of `vidsearch videos`."""

    path: Path
    state: VideoState
    error_kind: str | None
    error: str | None  # for an indexed video: the damage reported, if any
    duration_s: float | None
    windows: int
    reader: ReaderName | None
    model: str | None


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """A video as a surface shows it: `number` names it in the library, and stays while the library holds it.

    What a failed video has not got is None. Width and height are those of the upright picture.
    """

    number: int
    path: Path
    size_bytes: int
    mtime_ns: int
    fingerprint: str | None
    state: VideoState
    error_kind: str | None
    error: str | None  # for an indexed video: the damage reported, if any
    start_s: float | None  # presentation time of the first frame
    end_s: float | None  # presentation time of the end of the last frame
    duration_s: float | None  # see VideoFacts: not end_s - start_s
    fps: float | None
    width_px: int | None
    height_px: int | None
    codec: str | None
    container: str | None
