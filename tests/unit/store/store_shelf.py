"""A folder of small files that stand for videos, and a library of it: what a walk and an embedder would hand on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsearch.records import ClipWindow, IndexedVideo, VectorExtractor, VideoFacts, VideoFile, WindowSpec
from vidsearch.store.library import Library
from vidsearch.store.plan import IndexPlan, PlanRequest

DIM = 32
SPEC = WindowSpec()
FACTS = VideoFacts(0.5, 18.25, 29.97, 547, 640, 360, "h264", "mov,mp4", 90, "pyav", damage=None)


def fingerprint(path: Path) -> str:
    content = path.read_bytes()
    return f"{len(content)}:{hashlib.sha256(content).hexdigest()}"


def as_file(path: Path) -> VideoFile:
    status = path.stat()
    return VideoFile(path, status.st_size, status.st_mtime_ns)


def windows_of(count: int) -> tuple[ClipWindow, ...]:
    return tuple(ClipWindow(4.0 * n, 4.0 * n + 8, tuple(4.0 * n + t for t in range(8))) for n in range(count))


def vectors_of(path: Path, count: int, dim: int = DIM) -> NDArray[np.float32]:
    """What an embedder would say: the same for the same content."""
    seed = int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


@dataclass
class Shelf:
    """A root folder and its library."""

    root: Path
    home: Path
    library: Library
    read: list[Path] = field(default_factory=list)  # files that were fingerprinted for a plan

    def write(self, name: str, content: str, *, mtime_s: int = 1_700_000_000) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, (mtime_s, mtime_s))
        return path

    def walk(self, root: Path | None = None) -> list[VideoFile]:
        place = root or self.root
        return [as_file(path) for path in ([place] if place.is_file() else _files(place))]

    def plan(
        self,
        root: Path | None = None,
        *,
        found: list[VideoFile] | None = None,
        model: str = "nano",
        spec: WindowSpec = SPEC,
        retry_failed: bool = False,
        unreadable: tuple[Path, ...] = (),
    ) -> IndexPlan:
        def reading(path: Path) -> str:
            self.read.append(path)
            return fingerprint(path)

        return self.library.plan(
            PlanRequest(
                root or self.root,
                self.walk(root) if found is None else found,
                frozenset({VectorExtractor(model, spec)}),
                reading,
                retry_failed=retry_failed,
                unreadable=unreadable,
            )
        )

    def indexed(
        self, path: Path, *, model: str = "nano", spec: WindowSpec = SPEC, count: int = 3, dim: int = DIM
    ) -> IndexedVideo:
        """What an embedder hands on."""
        vectors = vectors_of(path, count, dim)
        return IndexedVideo(as_file(path), fingerprint(path), FACTS, windows_of(count), vectors, model, spec)

    def record(self, path: Path, *, model: str = "nano", spec: WindowSpec = SPEC, count: int = 3) -> None:
        self.library.record_indexed(self.indexed(path, model=model, spec=spec, count=count))

    def index(self, root: Path | None = None, *, model: str = "nano", spec: WindowSpec = SPEC) -> IndexPlan:
        """A whole run, as the workflow does it."""
        with self.library.writing():
            self.library.add_root(root or self.root)
            plan = self.plan(root, model=model, spec=spec)
            self.library.apply(plan)
            for file in plan.to_index:
                self.record(file.path, model=model, spec=spec)
        return plan

    def paths(self) -> list[Path]:
        return [row.path for row in self.library.videos()]

    def names(self) -> list[str]:
        return [path.name for path in self.paths()]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder, followlinks=True):
        for name in names:
            yield Path(parent) / name
