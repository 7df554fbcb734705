"""One server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import ScriptedAnswerer
from serving import ANSWER, QUESTION, Served, served


@pytest.fixture(scope="module")
def server(indexed_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page over examples/clips; nothing of it is changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSEARCH_HOME", str(tmp_path_factory.mktemp("served-home")))  # models and caches
        with served(indexed_clips, ScriptedAnswerer({QUESTION: ANSWER})) as running:
            yield running


@pytest.fixture(scope="module")
def square(server: Served) -> int:
    """The number of red-square-left.mp4."""
    [found] = server.get("/api/search?q=a+red+square+moving+left&top=1").json["hits"]
    assert found["path"].endswith("/red-square-left.mp4")
    return int(found["video"])
