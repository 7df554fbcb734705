"""What the parts of fetching hand each other: a file at a host, a file that arrived, what happens on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its host announced it; none of its bytes were read."""

    name: str  # what it is called here: a plain file name, or one in a folder, as in `clip/model.safetensors`
    url: str
    source: str  # for people: host, repository or folder
    size_bytes: int | None  # None: the host does not say
    etag: str | None  # the host's mark of this content
    sha256: str | None  # as published
    sha1: str | None = None  # as published for the small files of a repository: git's name of the content
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a token: never shown or stored
    cached: Path | None = None  # the same content in another program's cache on this disk

    @property
    def hash_published(self) -> bool:
        """Whether upstream says what the content is, so that more can be told than that it has not changed."""
        return self.sha256 is not None or self.sha1 is not None


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A file that arrived whole and was checked."""

    path: Path
    remote: RemoteFile
    sha256: str

    @property
    def hash_published(self) -> bool:
        """As its host announced it."""
        return self.remote.hash_published


@dataclass(frozen=True, slots=True)
class FileStarted:
    """The bytes of a file begin to arrive, or go on after `done_bytes` of them; also after a cut."""

    name: str
    done_bytes: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class BytesArrived:
    """So many more bytes of the file are on disk."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The host was in trouble; it is asked again after `seconds`."""

    seconds: float
    why: str


Event = FileStarted | BytesArrived | Waiting
Report = Callable[[Event], None]


def report_nothing(_event: Event) -> None:
    """For callers that do not watch."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a host is waited for. A try that brought the file on starts the count of tries anew.

    Whatever a host does, a file ends after `most_requests`, and each of them after `slow_s` below `least_bytes_s`.
    """

    tries: int = 5
    first_wait_s: float = 1.0  # doubles with every try
    longest_wait_s: float = 60.0  # a host that asks for more (Retry-After) is not waited for
    timeout_s: float = 30.0  # without any byte
    most_requests: int = 500  # for one file
    slow_s: float = 120.0
    least_bytes_s: float = 1000.0  # on average, from `slow_s` after the begin of a request on
