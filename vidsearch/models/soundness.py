"""Is a model folder what it was when it was installed, and may its files be used? Looked at once, then remembered.

What is remembered of a folder is one small file in the cache: size, times and number of each of its files when they
were last found whole. A folder whose files are still those costs a `stat` each. Without a cache that can be written,
every opening looks anew.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

from vidsearch import dirs
from vidsearch.errors import ModelError
from vidsearch.extras import needing
from vidsearch.files import replacing
from vidsearch.models.families import TEXT_FILE, TOKENIZER_FILE
from vidsearch.models.folder import ModelFolder
from vidsearch.models.hashes import wrong_files

_CHECKS = {  # a file of a folder → what looks at it before another program's library runs it
    TEXT_FILE: "vidsearch.models.onnx_check:check_text_encoder",
    TOKENIZER_FILE: "vidsearch.models.tokenizer_check:check_tokenizer",
}
_VERSION = 1  # of these checks: a later one looks again at what an earlier one remembered
_log = logging.getLogger(__name__)

Marks = dict[str, list[int]]


def require_sound(folder: ModelFolder) -> None:
    """ModelError, which names the file, unless the folder is as it was installed and its files may be used."""
    marks = _marks(folder.path)
    if _remembered(folder.path) == marks:
        return
    if changed := wrong_files(folder):
        raise ModelError(f"{'; '.join(changed)} in {folder.path}; install {folder.name} again")
    if folder.origin != "bundled":  # those are as much part of vidsearch as its code
        check_files(folder)
    _keep(folder.path, marks)


def check_files(folder: ModelFolder) -> None:
    """ModelError, which names the file, unless the files that other libraries run may be run."""
    for file in folder.family.files:
        if file in _CHECKS:
            with needing(f"examining {folder.path / file} before it is used for the first time"):
                check = _function(_CHECKS[file])
            check(folder)


def remember_sound(folder: ModelFolder) -> None:
    """For a folder whose files were checked while it was installed."""
    _keep(folder.path, _marks(folder.path))


def _marks(path: Path) -> Marks:
    """What changes when a file is written: size, times and number; links count as what they lead to."""
    marks = {}
    for file in sorted(path.iterdir()):
        if file.is_file():
            stat = file.stat()
            marks[file.name] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    return marks


def _memory(path: Path) -> Path:
    """The file that remembers a folder, of which it says the path: two folders may share a name of 32 bits."""
    return dirs.cache_dir() / "models" / f"{zlib.crc32(os.fsencode(path.absolute())):08x}.json"


def _remembered(path: Path) -> Marks | None:
    try:
        kept = json.loads(_memory(path).read_text(encoding="utf-8"))
        return kept["marks"] if (kept["version"], kept["folder"]) == (_VERSION, str(path.absolute())) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _keep(path: Path, marks: Marks) -> None:
    file = _memory(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text(
                json.dumps({"version": _VERSION, "folder": str(path.absolute()), "marks": marks}), encoding="utf-8"
            )
    except OSError as error:
        _log.info("%s cannot be kept (%s): the model is looked at anew each time", file, error.strerror)


def _function(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
