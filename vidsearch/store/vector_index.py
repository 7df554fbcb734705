"""The HNSW file of one model: a cache beside the database. The one file that knows hnswlib.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs" (arXiv 1603.09320): M is the links a node keeps, ef the candidates a search holds.

Two files: the graph as hnswlib writes it, and a card (JSON) that says what it is and what its bytes must be. hnswlib
takes any bytes, of any dimension, and may crash on them, so nothing is handed to it that the card does not vouch for.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidsearch.files import replacing

log = logging.getLogger(__name__)

FORMAT = 1
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
class Labels:
    """The labels of one video's windows: `count` in a row from `first`. The same run always means the same vectors."""

    first: int
    count: int


@dataclass(frozen=True, slots=True)
class _Card:
    """What is written beside the graph. `built`: see VectorIndex; `runs`: the labels in use, as first and count."""

    format: int
    model: str
    dim: int
    built: int
    runs: list[list[int]]
    size_bytes: int
    crc32: int


ReadVectors = Callable[[Labels], NDArray[np.float32]]


class VectorIndex:
    """A graph in memory with the labels it answers for; `built` windows came in one go, the others later."""

    def __init__(self, graph: Any, dim: int, runs: Sequence[Labels], built: int) -> None:
        self._graph = graph
        self.dim = dim
        self.runs = tuple(runs)
        self.built = built
        graph.set_num_threads(1)  # one order of insertion, one graph: the same library gives the same answers

    @property
    def count(self) -> int:
        """The windows it answers for."""
        return sum(run.count for run in self.runs)

    @classmethod
    def build(cls, dim: int, runs: Sequence[Labels], read_vectors: ReadVectors) -> VectorIndex:
        """A new graph of all vectors of the runs."""
        import hnswlib  # late, here and below: a query that searches exactly never needs it

        graph = hnswlib.Index(space="ip", dim=dim)
        total = sum(run.count for run in runs)
        graph.init_index(max_elements=max(total, 1), M=LINKS, ef_construction=EF_BUILD, random_seed=SEED)
        index = cls(graph, dim, runs, total)
        index._add(runs, read_vectors)
        return index

    @classmethod
    def load(cls, folder: Path, name: str, *, model: str, dim: int) -> VectorIndex | None:
        """The index as it was saved; None if it is missing, torn, not ours, or of another model or dimension."""
        card = _read_card(_card_file(folder, name))
        graph_file = _graph_file(folder, name)
        if card is None or (card.model, card.dim) != (model, dim):
            return None
        before = _identity(graph_file)
        if before is None or not _vouches_for(card, graph_file):
            return None
        import hnswlib

        graph = hnswlib.Index(space="ip", dim=dim)
        try:
            graph.load_index(str(graph_file))
        except RuntimeError as error:  # written by an incompatible hnswlib
            log.warning("%s cannot be loaded (%s)", graph_file, error)
            return None
        if _identity(graph_file) != before:  # a writer has put a new graph there since it was checked
            return None
        return cls(graph, dim, [Labels(first, count) for first, count in card.runs], card.built)

    def catch_up(self, runs: Sequence[Labels], read_vectors: ReadVectors) -> bool:
        """Brings the graph in step with `runs`; False, and nothing done, if a new graph would be better."""
        wanted, held = set(runs), set(self.runs)
        leaving = [run for run in self.runs if run not in wanted]
        coming = [run for run in runs if run not in held]
        in_graph = self._graph.get_current_count()
        dead = in_graph - self.count + sum(run.count for run in leaving)
        needed = in_graph + sum(run.count for run in coming)
        if dead > MOST_DELETED * in_graph or needed > MOST_GROWN * self.built:
            return False
        for run in leaving:
            for label in range(run.first, run.first + run.count):
                self._graph.mark_deleted(label)
        if needed > self._graph.get_max_elements():
            self._graph.resize_index(needed)
        self._add(coming, read_vectors)
        self.runs = tuple(runs)
        return True

    def search(self, query: NDArray[np.float32], limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Labels of about the `limit` nearest windows and their vectors; None if the graph cannot give that many."""
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

    def _add(self, runs: Sequence[Labels], read_vectors: ReadVectors) -> None:
        """Inserts windows in a shuffled order.

        Video after video would fill the links of a window with its neighbours in time before any other video is there,
        and no way would lead from one video to another: recall@10 at 50,000 windows falls from 1.00 to 0.94.
        """
        total = sum(run.count for run in runs)
        labels = np.empty(total, dtype=np.int64)
        rows = np.empty((total, self.dim), dtype=np.float16)  # as stored, so nothing is lost
        end = 0
        for run in runs:
            start, end = end, end + run.count
            labels[start:end] = np.arange(run.first, run.first + run.count)
            rows[start:end] = read_vectors(run)
        order = np.random.default_rng(SEED).permutation(total)
        for block in (order[first : first + BLOCK] for first in range(0, total, BLOCK)):
            self._graph.add_items(rows[block].astype(np.float32), labels[block], num_threads=1)

    def save(self, folder: Path, name: str, model: str) -> None:
        """Writes both files whole or not at all; OSError if the disk refuses."""
        graph_file = _graph_file(folder, name)
        with replacing(graph_file, durable=True, private=True) as partial:
            self._graph.save_index(str(partial))
            size = partial.stat().st_size
            if size != self._graph.index_file_size():  # hnswlib does not notice a full disk
                raise OSError(f"{graph_file} could not be written whole")
            runs = [[run.first, run.count] for run in self.runs]
            card = _Card(FORMAT, model, self.dim, self.built, runs, size, _checksum(partial))
        # The card last: until it is there the old one does not fit the new graph, and the index counts as torn.
        _write_card(_card_file(folder, name), card)


def files_of(folder: Path, name: str) -> tuple[Path, Path]:
    """The two files of an index, whether they exist or not."""
    return _graph_file(folder, name), _card_file(folder, name)


def can_be_named(folder: Path) -> bool:
    """hnswlib takes UTF-8 names alone; in any other folder search stays exact."""
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _graph_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.hnsw"


def _card_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.hnsw.json"


def _read_card(file: Path) -> _Card | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    body, _, checksum = content.rstrip(b"\n").rpartition(b"\n")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    values = json.loads(body)
    return _Card(**values) if values["format"] == FORMAT else None


def _write_card(file: Path, card: _Card) -> None:
    body = json.dumps(asdict(card), sort_keys=True).encode()
    with replacing(file, durable=True, private=True) as partial:
        partial.write_bytes(body + b"\n%08x\n" % zlib.crc32(body))


def _vouches_for(card: _Card, file: Path) -> bool:
    try:
        return file.stat().st_size == card.size_bytes and _checksum(file) == card.crc32
    except OSError:
        return False


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _checksum(file: Path) -> int:
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            return 0
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return zlib.crc32(content)
