"""The wheel and the sdist, installed by pip with all they need into empty environments, far from this folder.

    make test-install            minutes, and a package index; sizes and times are printed

pip fetches and compiles here; `test_built_distribution.py` does the quick part of it in every run of the tests.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from environments import Environment, built, new_environment
from support import CLIPS

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]

SEARCH_ONLY_BYTES = 400_000_000
QUERY = "two purple circles moving down"
log = logging.getLogger("install")


def installed(folder: Path, requirement: str) -> Environment:
    """An empty environment, and then what pip makes of a requirement."""
    environment = new_environment(folder / "venv")
    begin = time.monotonic()
    environment.install(requirement, cwd=folder)
    log.info(
        "pip install %s: %.0f s, %.0f MB",
        Path(requirement).name,
        time.monotonic() - begin,
        size_bytes(environment.packages) / 1e6,
    )
    return environment


def size_bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir() or file.is_symlink())


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's empty home, with the example clips beside it."""
    folder = tmp_path_factory.mktemp("person")
    shutil.copytree(CLIPS, folder / "clips")
    (folder / "home").mkdir()
    return folder / "home"


@pytest.fixture(scope="module")
def indexing(wheel: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """vidsearch[index], which has indexed the clips into the library where the platform puts it."""
    environment = installed(tmp_path_factory.mktemp("indexing"), f"{wheel}[index]")
    begin = time.monotonic()
    done = environment.run("index", "clips", home=None, cwd=home.parent, env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert "Indexed 26 videos" in done.stderr
    log.info("the clips: indexed in %.1f s", time.monotonic() - begin)
    return environment


@pytest.fixture(scope="module")
def searching(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return installed(tmp_path_factory.mktemp("searching"), str(wheel))


def test_an_installation_with_index_answers_queries_and_questions(indexing: Environment, home: Path) -> None:
    person = {"HOME": str(home)}
    found = indexing.run("query", QUERY, "-k", "1", home=None, cwd=home.parent, env=person)
    assert found.stdout.splitlines()[0].endswith("clips/two-purple-circles-down.mp4"), found.stderr
    question = ("how many circles are there?", "--model", "mobilevideogpt-nano")
    asked = indexing.run("ask", "1", *question, home=None, cwd=home.parent, env=person)
    assert (asked.stdout.strip(), asked.returncode) == ("two", 0), asked.stderr


def test_an_installation_without_extras_is_small_and_answers_queries(
    indexing: Environment, searching: Environment, home: Path
) -> None:
    packages = {path.name for path in searching.packages.iterdir()}
    assert not packages & {"torch", "onnx", "onnxscript", "decord"}
    assert size_bytes(searching.packages) <= SEARCH_ONLY_BYTES
    found = searching.run("query", QUERY, "-k", "1", home=None, cwd=home.parent, env={"HOME": str(home)})
    assert found.stdout.splitlines()[0].endswith("clips/two-purple-circles-down.mp4"), found.stderr


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("index", ("index", "clips")),
        ("index", ("ask", "clips/red-square-left.mp4", "what?")),
        ("index", ("models", "pull", "conse-lite2", "--yes")),
        ("index", ("train", "run", "--out", "runs")),
        ("serve", ("serve",)),
        ("edit", ("sheet", QUERY, "-o", "sheet.png")),
        ("edit", ("export", "1", "--timeline", "timeline.otio")),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_needs_an_extra_says_which(
    searching: Environment, indexing: Environment, home: Path, extra: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    person = {"HOME": str(home)}
    searching.run("query", QUERY, home=None, cwd=home.parent, env=person)  # hits for what takes one
    library = tmp_path / "new" if arguments[0] == "index" else None  # there is nothing to do in the other one
    told = searching.run(*arguments, home=library, cwd=home.parent, env=person)
    assert (told.returncode, told.stdout) == (2, ""), told.stderr
    assert told.stderr.splitlines()[-1].endswith(f"install it with: pip install 'vidsearch[{extra}]'")


def test_the_sdist_installs_and_runs(source: Path, tmp_path: Path, home: Path, indexing: Environment) -> None:
    (tmp_path / "sdist").mkdir()
    environment = installed(tmp_path, str(built("sdist", source, tmp_path / "sdist")))
    where = subprocess.run(
        [environment.python, "-c", "import vidsearch; print(vidsearch.__file__)"],
        cwd=tmp_path, env=environment.variables(), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(environment.packages)
    found = environment.run("query", QUERY, "-k", "1", home=None, cwd=tmp_path, env={"HOME": str(home)})
    assert found.stdout.splitlines()[0].endswith("clips/two-purple-circles-down.mp4"), found.stderr
