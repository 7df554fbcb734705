"""Every test has its own home, and no test reaches a network beyond this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support import CLIPS, RunVidsearch, run_in_process, run_vidsearch

# A shell that starts the tests in the background lets them ignore Ctrl-C, and the programs they start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# The marker of tests that need a package that not every machine has. Of torch it is kept in the folders of unit tests
# that make test-pythons runs.
OPTIONAL = {
    "needs_decord": "decord",
    "needs_hnswlib": "hnswlib",
    "needs_scenedetect": "scenedetect",
    "needs_torch": "torch",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, package in OPTIONAL.items():
        if find_spec(package) is None:
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of this test's own; no VIDSEARCH_* variable of the caller is seen."""
    for name in [name for name in os.environ if name.startswith("VIDSEARCH_")]:
        if name != "VIDSEARCH_FULL_PARITY":
            monkeypatch.delenv(name)
    home = tmp_path / "vidsearch-home"
    monkeypatch.setenv("VIDSEARCH_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections leave this process only to loopback addresses."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    yield


@pytest.fixture
def vidsearch(own_home: Path) -> RunVidsearch:
    """Runs the real program in a process of its own, with the bundled model unless told otherwise."""
    return run_vidsearch


@pytest.fixture
def command(own_home: Path) -> RunVidsearch:
    """Runs a command line in this process, with the bundled model unless told otherwise."""
    return run_in_process


@pytest.fixture(scope="session")
def indexed_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a library that holds examples/clips, indexed by the program with the bundled model. Do not change."""
    home = tmp_path_factory.mktemp("indexed-clips")
    done = run_vidsearch("index", CLIPS, env={"VIDSEARCH_HOME": str(home)})
    assert done.returncode == 0, done.stderr.decode()
    return home


@pytest.fixture
def clips_library(indexed_clips: Path, own_home: Path) -> Path:
    """A library of this test's own that holds examples/clips; may be changed."""
    shutil.copytree(indexed_clips, own_home)
    return own_home
