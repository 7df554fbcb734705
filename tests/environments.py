"""Environments of their own for tests of an installation: links to the packages of this one, without some of them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from support import REPOSITORY

SETTINGS = {"VIDSEARCH_MODEL": "mobileviclip-nano", "OMP_NUM_THREADS": "1"}  # tests share the cores
PACKAGES = Path(sysconfig.get_path("purelib"))


@dataclass(frozen=True)
class Environment:
    """A folder with an interpreter and its packages."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return next((self.folder / "lib").glob("python*")) / "site-packages"

    def run(
        self, *arguments: str | Path, home: Path | None, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the environment's own vidsearch, from `cwd`; nothing of this process's paths is seen.

        `home` is the library's folder; None: where the platform puts it.
        """
        library = {} if home is None else {"VIDSEARCH_HOME": str(home)}
        return subprocess.run(
            [self.python, "-m", "vidsearch", *arguments],
            cwd=cwd,
            env={**self.variables(), **library, **SETTINGS, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def install(self, *requirements: str, cwd: Path, newest: bool = False) -> None:
        """What pip makes of requirements, in the versions that this project is tested with; skips without an index.

        `newest`: in the newest versions that the requirements allow, as everybody gets them who has no clone.
        """
        versions = () if newest else ("-c", REPOSITORY / "constraints.txt")
        run = subprocess.run(
            [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *versions, *requirements],
            cwd=cwd, env=self.variables(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "Could not find a version" in run.stderr and "from versions: none" in run.stderr:
            pytest.skip(f"no package index can be reached: {run.stderr.strip().splitlines()[-1]}")
        assert run.returncode == 0, run.stderr

    def variables(self) -> dict[str, str]:
        """This process's environment, without what it says to Python and to vidsearch."""
        return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIDSEARCH"))}


def new_environment(folder: Path, python: str | Path = sys.executable) -> Environment:
    """An empty environment of an interpreter, with pip."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    return Environment(folder)


def built(kind: str, source: Path, folder: Path) -> Path:
    """`kind` is wheel or sdist; the backend that pyproject.toml names, in a process of its own."""
    order = f"from setuptools.build_meta import build_{kind} as build; build({str(folder)!r})"
    run = subprocess.run([sys.executable, "-c", order], cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return next(folder.iterdir())


def linked_environment(folder: Path, *, without: Collection[str] = ()) -> Environment:
    """An environment with every package of this one but `without` (names of distributions) and vidsearch itself.

    Of `without` some may not be here: these tests also run where decord and hnswlib are missing.
    """
    environment = Environment(folder)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin").mkdir(parents=True)
    environment.python.symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    packages = folder / "lib" / base.name / "site-packages"
    packages.mkdir(parents=True)
    absent = (package for name in (*without, "vidsearch") for package in Distribution.discover(name=name))
    left_out = {entry for package in absent for entry in _entries(package)}
    for entry in PACKAGES.iterdir():
        if entry.name not in left_out and not entry.name.startswith("__editable__"):
            (packages / entry.name).symlink_to(entry)
    return environment


def _entries(package: Distribution) -> Iterator[str]:
    """The names in site-packages that belong to a distribution."""
    for file in package.files or ():
        if file.parts[0] not in ("..", "__pycache__", "bin"):
            yield file.parts[0]


def install_wheel(wheel: Path, environment: Environment) -> None:
    """Puts a wheel into an environment, as it is: without its dependencies."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-index", "--no-compile",
         "--disable-pip-version-check", "--target", environment.packages, wheel],
        check=True,
    )  # fmt: skip
