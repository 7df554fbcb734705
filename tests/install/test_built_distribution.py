"""What is built is what people install: the wheel and the sdist hold what they should, and work without this folder."""

from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from environments import Environment, built, install_wheel, linked_environment
from support import CLIPS, REPOSITORY

from vidsearch import __version__


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


def in_package() -> set[str]:
    """The files of the package that git has or would take: code, bundled models, assets."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "vidsearch"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return {name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert in_package() <= names
    assert {name.split("/")[0] for name in names} == {"vidsearch", f"vidsearch-{__version__}.dist-info"}


def test_the_sdist_builds_and_holds_what_a_reader_needs(source: Path, tmp_path: Path) -> None:
    sdist = built("sdist", source, tmp_path)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert in_package() <= names
    assert {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "constraints.txt"} <= names
    assert set(re.findall(r"\]\(([\w./-]+\.(?:md|jpg))[)#]", (REPOSITORY / "README.md").read_text())) <= names
    assert not any(name.startswith(("tests/", "examples/")) for name in names)


def test_the_metadata_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"vidsearch-{__version__}.dist-info/METADATA").decode()
    facts = HeaderParser().parsestr(text)
    assert facts["Version"] == __version__
    assert len(facts.get_all("Project-URL", [])) >= 2
    assert facts["Description-Content-Type"] == "text/markdown"
    required = {
        line.split(";")[0].split(">")[0] for line in facts.get_all("Requires-Dist", []) if "extra ==" not in line
    }
    assert "onnxruntime" in required
    assert not required & {"torch", "onnx", "decord"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = linked_environment(tmp_path_factory.mktemp("installed") / "venv")
    install_wheel(wheel, environment)
    return environment


def test_the_installed_wheel_indexes_queries_and_asks(installed: Environment, tmp_path: Path) -> None:
    where = installed.run("--version", home=tmp_path / "home", cwd=tmp_path)
    assert where.stdout == f"vidsearch {__version__}\n"
    clips = [CLIPS / "two-purple-circles-down.mp4", CLIPS / "red-square-left.mp4"]
    indexed = installed.run("index", *clips, home=tmp_path / "home", cwd=tmp_path)
    assert indexed.returncode == 0, indexed.stderr
    found = installed.run("query", "two purple circles moving down", home=tmp_path / "home", cwd=tmp_path)
    assert found.stdout.splitlines()[0].endswith("two-purple-circles-down.mp4"), found.stderr
    asked = installed.run(
        "ask",
        "1",
        "how many circles are there?",
        "--model",
        "mobilevideogpt-nano",
        home=tmp_path / "home",
        cwd=tmp_path,
    )
    assert (asked.stdout.strip(), asked.returncode) == ("two", 0), asked.stderr
