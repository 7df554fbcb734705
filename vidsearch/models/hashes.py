"""The SHA-256 of each file of a model folder, as it was when the model was installed. No torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from vidsearch.errors import ModelError
from vidsearch.files import sha256
from vidsearch.models.folder import HASHES_FILE, ModelFolder
from vidsearch.models.json_files import read_object

_PLAIN_NAME = re.compile(r"[\w-][\w.-]{0,200}")  # of a file in the folder itself


def write_hashes(folder: Path) -> None:
    """Keep the SHA-256 of every file of a model folder."""
    hashes = {file.name: sha256(file) for file in _files(folder)}
    (folder / HASHES_FILE).write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")


def kept_hashes(folder: ModelFolder) -> dict[str, str]:
    """Name of each file → its SHA-256 when the model was installed. ModelError where that is not known."""
    path = folder.path / HASHES_FILE
    hashes = read_object(path, advice=f"install {folder.name} again")
    if not all(_PLAIN_NAME.fullmatch(name) and isinstance(digest, str) for name, digest in hashes.items()):
        raise ModelError(f"{path} does not list the hashes of files; install {folder.name} again")
    return hashes


def wrong_files(folder: ModelFolder) -> list[str]:
    """One sentence for each file that is not what it was when the model was installed. ModelError without hashes."""
    hashes = kept_hashes(folder)
    problems = [f"{name} is missing" for name in sorted(hashes) if not (folder.path / name).is_file()]
    there = [file for file in _files(folder.path) if file.name in hashes]
    return problems + [f"{file.name} has changed" for file in there if sha256(file) != hashes[file.name]]


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file() and file.name != HASHES_FILE]
