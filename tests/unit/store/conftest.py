from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_shelf import Shelf

from vidsearch.store.library import Library


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    root = tmp_path / "videos"
    root.mkdir()
    with Library.open(tmp_path / "home") as library:
        yield Shelf(root, tmp_path / "home", library)
