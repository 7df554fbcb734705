"""The config file: values of options that a person wrote down once, in TOML.

A key at the top holds for every command that has such an option; a table is named after a command and holds for it
alone. What stands there counts less than the command line and the environment, and more than the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vidsearch import dirs
from vidsearch.errors import VidsearchError
from vidsearch.frozen import dataclass

VARIABLE = "VIDSEARCH_CONFIG"
_NAME = "config.toml"
_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """The content of a config file; one that is not there is empty."""

    path: Path
    values: Mapping[str, Any]

    def shared(self) -> dict[str, Any]:
        """The keys at the top, which are about every command."""
        return {key: value for key, value in self.values.items() if not isinstance(value, Mapping)}

    def of_command(self, *names: str) -> dict[str, Any]:
        """The table of a command, [models.pull] for ("models", "pull"); empty where there is none."""
        table: Any = self.values
        for name in names:
            table = table.get(name, {})
            if not isinstance(table, Mapping):
                return {}
        return dict(table)


def config_path() -> Path:
    """`VIDSEARCH_CONFIG`, else config.toml in `VIDSEARCH_HOME`, else in the platform's place for settings."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser().absolute()
    if os.environ.get(dirs.HOME_VARIABLE):
        return dirs.home_dir() / _NAME
    import platformdirs  # late, as in dirs

    return Path(platformdirs.user_config_dir("vidsearch", appauthor=False)) / _NAME


def load(path: Path | None = None) -> Settings:
    """The settings in a file. VidsearchError, which names line and column, if it is no TOML or cannot be read."""
    path = path or config_path()
    return _load(path, _mark(path))


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):  # what is wrong with its folder is told by who needs the folder
        return None
    except OSError as error:
        raise VidsearchError(f"The config file {path} cannot be read ({error.strerror}).") from error
    return stat.st_size, stat.st_mtime_ns


@cache
def _load(path: Path, mark: tuple[int, int] | None) -> Settings:
    if mark is None:
        return Settings(path, {})
    if mark[0] > _LARGEST_BYTES:
        raise VidsearchError(f"The config file {path} is larger than 1 MB; is it one?")
    import tomllib  # late: most people have no config file

    try:
        return Settings(path, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise VidsearchError(f"The config file {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VidsearchError(f"The config file {path} is not valid TOML: {error}.") from error
