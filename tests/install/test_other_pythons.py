"""The installation that searches, on every other Python of this machine that vidsearch says it runs on.

    make test-pythons            minutes, and a package index

torch is not installed there: in its place come clips embedded by ONNX Runtime, with a tower that this Python exports,
and the unit tests that need no torch.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from environments import Environment, built, new_environment
from support import CLIPS, REPOSITORY, run_vidsearch

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]

PYTHONS = ("3.12", "3.13")
MODEL = "mobileviclip-nano"
QUERY = "two purple circles moving down"
# Beside vidsearch: what the unit tests import, and onnx, which examines a tower before it is run for the first time.
FOR_TESTS = (
    "onnx", "hypothesis", "imageio-ffmpeg", "jsonschema", "otio-cmx3600-adapter", "otio-fcpx-xml-adapter", "pytest",
    "pytest-timeout",
)  # fmt: skip
log = logging.getLogger("install")
UNIT_TESTS = ("store", "query_text", "video", "editing", "cli", "workflows", "test_extras.py", "test_files.py")


def interpreter(version: str) -> Path | None:
    """An interpreter of a version: the one on the PATH, else one of pyenv's."""
    named = f"python{version}"
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/{named}"))
    for path in (shutil.which(named), *pyenv):
        if path is None:
            continue
        run = subprocess.run([path, "-c", "import ssl, sqlite3"], capture_output=True, check=False)
        if run.returncode == 0:
            return Path(path)
    return None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the example clips, and a clip tower, both made by this Python with torch."""
    home = tmp_path_factory.mktemp("other-pythons") / "home"
    where = {"VIDSEARCH_HOME": str(home)}
    for arguments in (("index", CLIPS), ("models", "export", MODEL, "--to", "onnx", "--towers", "clip")):
        done = run_vidsearch(*arguments, env=where)
        assert done.returncode == 0, done.stderr.decode()
    return home


def made(version: str, source: Path, folder: Path, *requirements: str, newest: bool = False) -> Environment:
    """An environment of another Python with vidsearch, its page and its timelines; without torch."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    (folder / "wheel").mkdir()
    wheel = built("wheel", source, folder / "wheel")
    environment = new_environment(folder / "venv", python)
    environment.install(f"{wheel}[serve,edit]", *requirements, cwd=folder, newest=newest)
    return environment


@pytest.fixture(scope="module", params=PYTHONS)
def other(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the versions of packages that this project is tested with."""
    return made(request.param, source, tmp_path_factory.mktemp("python"), *FOR_TESTS)


def test_it_answers_from_a_library_that_another_python_made(other: Environment, home: Path, tmp_path: Path) -> None:
    library = shutil.copytree(home, tmp_path / "home")

    def told(*arguments: str) -> str:
        done = other.run(*arguments, home=library, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert told("query", QUERY, "-k", "1").splitlines()[0].endswith("two-purple-circles-down.mp4")
    assert "two-purple-circles-up.mp4" in told("similar", "1", "-k", "1")
    assert json.loads(told("info", "--json"))["models"][0]["videos"] == 26
    assert len(told("videos").splitlines()) == 26
    assert "The library is whole" in other.run("check", home=library, cwd=tmp_path).stderr
    for name in ("hits.otio", "hits.fcpxml", "hits.edl", "hits.xml", "hits.vtt", "hits.csv"):
        told("export", "1", "--timeline", name)
    told("sheet", QUERY, "-o", "sheet.png")
    told("export", "1", "--to", "cut", "--precise")
    assert sorted(path.suffix for path in (tmp_path / "cut").iterdir()) == [".mp4"]


def indexes_with_onnx_runtime(environment: Environment, home: Path, folder: Path) -> None:
    exports = shutil.copytree(home / "models", folder / "home" / "models")
    assert list(exports.rglob("*.onnx"))
    indexed = environment.run("index", CLIPS, "--runtime", "onnx", home=folder / "home", cwd=folder)
    assert indexed.returncode == 0, indexed.stderr
    assert "Indexed 26 videos" in indexed.stderr
    found = environment.run("query", QUERY, "-k", "1", home=folder / "home", cwd=folder)
    assert found.stdout.splitlines()[0].endswith("two-purple-circles-down.mp4"), found.stderr


def test_it_indexes_with_onnx_runtime(other: Environment, home: Path, tmp_path: Path) -> None:
    indexes_with_onnx_runtime(other, home, tmp_path)


def test_it_does_so_with_the_newest_packages(source: Path, home: Path, tmp_path: Path) -> None:
    """What `pipx install` brings: newer than what the tests run with, and on a newer Python newer still."""
    environment = made(PYTHONS[-1], source, tmp_path, "onnx", newest=True)
    indexes_with_onnx_runtime(environment, home, tmp_path)


def test_it_serves_the_page(other: Environment, home: Path, tmp_path: Path) -> None:
    library = shutil.copytree(home, tmp_path / "home")
    server = subprocess.Popen(
        [other.python, "-m", "vidsearch", "serve", "--port", "0"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**other.variables(), "VIDSEARCH_HOME": str(library), "VIDSEARCH_MODEL": MODEL},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        link = server.stdout.readline().strip()
        with urlopen(f"{link}api/search?q={quote(QUERY)}", timeout=60) as answer:
            assert json.load(answer)["hits"][0]["path"].endswith("two-purple-circles-down.mp4")
    finally:
        server.kill()
        server.communicate()


def test_the_unit_tests_that_need_no_torch_pass(other: Environment) -> None:
    run = subprocess.run(
        [other.python, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *(REPOSITORY / "tests" / "unit" / name for name in UNIT_TESTS)],
        cwd=REPOSITORY, env={**other.variables(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-8000:]
    log.info("%s: %s", other.python, run.stdout.splitlines()[-1])
