"""Environments of their own for tests of an installation: links to the packages of this one, without some of them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

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
        self, *arguments: str | Path, home: Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the environment's own vidsearch, from `cwd`; nothing of this process's paths is seen."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIDSEARCH"))}
        return subprocess.run(
            [self.python, "-m", "vidsearch", *arguments],
            cwd=cwd,
            env={**kept, "VIDSEARCH_HOME": str(home), **SETTINGS, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def linked_environment(folder: Path, *, without: Collection[str] = ()) -> Environment:
    """An environment with every package of this one but `without` (names of distributions) and vidsearch itself."""
    environment = Environment(folder)
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "bin").mkdir(parents=True)
    environment.python.symlink_to(base)
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    packages = folder / "lib" / base.name / "site-packages"
    packages.mkdir(parents=True)
    left_out = {entry for name in (*without, "vidsearch") for entry in _entries(distribution(name))}
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
