"""The HNSW file of one model: a cache beside the database. The one file that knows hnswlib.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs" (arXiv 1603.09320): M is the links a node keeps, ef the candidates a search holds.

Two files: the graph as hnswlib writes it, and a manifest (JSON) that says what it is and what its bytes must be.
hnswlib takes any bytes, of any dimension, and may crash on them: it gets only what the manifest describes.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import mmap
import operator
import os
import stat
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.files import replacing
from vidsearch.store.vectors import IdRange

log = logging.getLogger(__name__)

FORMAT = 1
_RANGES = "runs"  # the name of the id ranges in the file, as first and count
# M = 12 takes 2.17 kB a window of 512 values, 1.95 MB an hour (900 windows), which leaves an hour below 3 MB with its
# vectors in the database. The recall it gives with this ef is in docs/search.md.
LINKS = 12
EF_BUILD = 100
EF_SEARCH = 3000
SEED = 20
# Deleted nodes stay in the graph and are walked through; beyond this share a new graph is better.
MOST_DELETED = 0.3
# Windows that come later are linked less well than those of the first build; beyond this growth a new graph is better.
MOST_GROWN = 1.5
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """What is written beside the graph. `built`: see VectorIndex; `id_ranges`: the ids in use."""

    format: int
    model: str
    dim: int
    built: int
    id_ranges: tuple[IdRange, ...]
    size_bytes: int
    crc32: int


ReadVectors = Callable[[IdRange], NDArray[np.float32]]


class VectorIndex:
    """A graph in memory with the ids it answers for; `built` windows came in one go, the others later."""

    def __init__(self, graph: Any, dim: int, id_ranges: Sequence[IdRange], built: int) -> None:
        self._graph = graph
        self.dim = dim
        self.id_ranges = tuple(id_ranges)
        self.built = built
        graph.set_num_threads(1)  # one order of insertion, one graph: the same library gives the same answers

    @property
    def count(self) -> int:
        """The windows it answers for."""
        return sum(ids.count for ids in self.id_ranges)

    @classmethod
    def build(cls, dim: int, id_ranges: Sequence[IdRange], read_vectors: ReadVectors) -> VectorIndex:
        """A new graph of all vectors of the ranges."""
        import hnswlib  # late, here and below: a query that searches exactly never needs it

        graph = hnswlib.Index(space="ip", dim=dim)
        total = sum(ids.count for ids in id_ranges)
        graph.init_index(max_elements=max(total, 1), M=LINKS, ef_construction=EF_BUILD, random_seed=SEED)
        index = cls(graph, dim, id_ranges, total)
        index._add(id_ranges, read_vectors)
        return index

    @classmethod
    def load(cls, folder: Path, name: str, *, model: str, dim: int) -> VectorIndex | None:
        """The index as it was saved; None if it is missing, torn, not ours, or of another model or dimension."""
        manifest = _read_manifest(_manifest_file(folder, name))
        graph_file = _graph_file(folder, name)
        if manifest is None or (manifest.model, manifest.dim) != (model, dim):
            return None
        before = _identity(graph_file)
        if before is None or not _describes(manifest, graph_file):
            return None
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=dim)
        try:
            graph.load_index(str(graph_file))
        except RuntimeError as error:  # written by an incompatible hnswlib
            log.warning("%s cannot be loaded (%s)", graph_file, error)
            return None
        if graph.get_current_count() < sum(ids.count for ids in manifest.id_ranges):
            return None
        if _identity(graph_file) != before:  # a writer has put a new graph there since it was checked
            return None
        return cls(graph, dim, manifest.id_ranges, manifest.built)

    def catch_up(self, id_ranges: Sequence[IdRange], read_vectors: ReadVectors) -> bool:
        """Brings the graph in step with `id_ranges`; False, and nothing done, if a new graph would be better.

        What `read_vectors` raises leaves an index that is not to be used again.
        """
        wanted, held = set(id_ranges), set(self.id_ranges)
        leaving = [ids for ids in self.id_ranges if ids not in wanted]
        coming = [ids for ids in id_ranges if ids not in held]
        in_graph = self._graph.get_current_count()
        dead = in_graph - self.count + sum(ids.count for ids in leaving)
        needed = in_graph + sum(ids.count for ids in coming)
        if dead > MOST_DELETED * in_graph or needed > MOST_GROWN * self.built:
            return False
        for ids in leaving:
            for vector_id in range(ids.first, ids.first + ids.count):
                self._graph.mark_deleted(vector_id)
        if needed > self._graph.get_max_elements():
            self._graph.resize_index(needed)
        self._add(coming, read_vectors)
        self.id_ranges = tuple(id_ranges)
        return True

    def search(self, query: NDArray[np.float32], limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Ids of about the `limit` nearest windows and their vectors; None if the graph cannot give that many."""
        limit = min(limit, self.count)
        if limit == 0:
            return np.empty(0, dtype=np.int64), np.empty((0, self.dim), dtype=np.float32)
        self._graph.set_ef(max(EF_SEARCH, 2 * limit))  # not kept in the file
        try:
            labels, _ = self._graph.knn_query(query[None], k=limit, num_threads=1)
        except RuntimeError:  # too many deleted nodes around the place
            return None
        found = labels[0].astype(np.int64)
        return found, np.asarray(self._graph.get_items(found), dtype=np.float32)

    def _add(self, id_ranges: Sequence[IdRange], read_vectors: ReadVectors) -> None:
        """Inserts windows in a shuffled order.

        Video after video would fill the links of a window with its neighbours in time before any other video is there,
        and no way would lead from one video to another: recall@10 at 50,000 windows falls from 1.00 to 0.94.
        """
        total = sum(ids.count for ids in id_ranges)
        vector_ids = np.empty(total, dtype=np.int64)
        rows = np.empty((total, self.dim), dtype=np.float16)  # as stored, so nothing is lost
        end = 0
        for ids in id_ranges:
            start, end = end, end + ids.count
            vector_ids[start:end] = np.arange(ids.first, ids.first + ids.count)
            rows[start:end] = read_vectors(ids)
        order = np.random.default_rng(SEED).permutation(total)
        for block in (order[first : first + BLOCK] for first in range(0, total, BLOCK)):
            self._graph.add_items(rows[block].astype(np.float32), vector_ids[block], num_threads=1)

    def save(self, folder: Path, name: str, model: str) -> None:
        """Writes both files whole or not at all; OSError if the disk refuses."""
        graph_file = _graph_file(folder, name)
        with replacing(graph_file, durable=True, private=True) as partial:
            self._graph.save_index(str(partial))
            size = partial.stat().st_size
            if size != self._graph.index_file_size():  # hnswlib does not notice a full disk
                raise OSError(f"{graph_file} could not be written whole")
            manifest = IndexManifest(FORMAT, model, self.dim, self.built, self.id_ranges, size, _checksum(partial))
        # The manifest last: until it is there the old one does not fit the new graph, and the index counts as torn.
        _write_manifest(_manifest_file(folder, name), manifest)


def is_installed() -> bool:
    """Whether hnswlib is: it has no wheels, so a machine without a compiler does without it."""
    return importlib.util.find_spec("hnswlib") is not None


def files_of(folder: Path, name: str) -> tuple[Path, Path]:
    """The two files of an index, whether they exist or not."""
    return _graph_file(folder, name), _manifest_file(folder, name)


def delete(folder: Path, name: str) -> None:
    """Deletes the files of an index. One that cannot be deleted stays: an index that does not fit is not believed."""
    for file in files_of(folder, name):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be deleted (%s)", file, error.strerror)


def can_be_named(folder: Path) -> bool:
    """hnswlib takes UTF-8 names alone; in any other folder search stays exact."""
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _graph_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.hnsw"


def _manifest_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.hnsw.json"


def _read_manifest(file: Path) -> IndexManifest | None:
    if not file.is_file():  # a pipe would be waited for
        return None
    try:
        content = file.read_bytes()
    except OSError:
        return None
    body, _, checksum = content.rstrip(b"\n").rpartition(b"\n")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        return _manifest(json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError):  # whole, but not one of ours
        return None


def _manifest(values: Any) -> IndexManifest | None:
    """ValueError, TypeError or KeyError for values of another kind; None for a later format."""
    if values["format"] != FORMAT:
        return None
    numbers = {name: operator.index(values[name]) for name in ("dim", "built", "size_bytes", "crc32")}
    ranges = tuple(IdRange(operator.index(first), operator.index(count)) for first, count in values[_RANGES])
    if min(numbers.values()) < 0 or any(ids.first < 0 or ids.count < 0 for ids in ranges):
        raise ValueError("a number below 0")
    return IndexManifest(format=FORMAT, model=str(values["model"]), id_ranges=ranges, **numbers)


def _write_manifest(file: Path, manifest: IndexManifest) -> None:
    values = asdict(manifest)
    values[_RANGES] = [[ids["first"], ids["count"]] for ids in values.pop("id_ranges")]
    body = json.dumps(values, sort_keys=True).encode()
    with replacing(file, durable=True, private=True) as partial:
        partial.write_bytes(body + b"\n%08x\n" % zlib.crc32(body))


def _describes(manifest: IndexManifest, file: Path) -> bool:
    try:
        return file.stat().st_size == manifest.size_bytes and _checksum(file) == manifest.crc32
    except OSError:
        return False


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _checksum(file: Path) -> int:
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            return 0
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return zlib.crc32(content)
