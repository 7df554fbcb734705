from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_shelf import Shelf

from vidsearch.store.library import Library


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    yield from _shelf(tmp_path)


@pytest.fixture
def indexing_shelf(tmp_path: Path) -> Iterator[Shelf]:
    """A library that has an index file from 100 windows on, which a test can make."""
    yield from _shelf(tmp_path, exact_below=100, graph_from=100)


def _shelf(folder: Path, **settings: int) -> Iterator[Shelf]:
    root = folder / "videos"
    root.mkdir()
    with Library.open(folder / "home", **settings) as library:
        yield Shelf(root, folder / "home", library)
