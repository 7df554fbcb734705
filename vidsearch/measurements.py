"""What was measured on this machine, kept in the cache's folder: a JSON file for each question and what it depends on.

An entry is found by all that it depends on, so that a new processor, library or model finds none. One that cannot be
read or written costs another measurement and is not an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidsearch import dirs
from vidsearch.bounded_folder import shrink
from vidsearch.files import replacing

_SUFFIX = ".json"
_LIMIT_BYTES = 100_000  # hundreds of entries
log = logging.getLogger(__name__)


def kept(question: str, depends_on: Mapping[str, str]) -> dict[str, Any] | None:
    """What was found; None if it was not measured with these dependencies, or its file is damaged."""
    path = _path(question, depends_on)
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.info("the measurement %s is not used: %s", path, error)
        return None
    if not isinstance(entry, dict) or entry.get("depends_on") != dict(depends_on):
        return None
    found = entry.get("found")
    return found if isinstance(found, dict) else None


def keep(question: str, depends_on: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """Keep what was found, in the place of what was found before."""
    path = _path(question, depends_on)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            entry = {"depends_on": dict(depends_on), "found": dict(found)}
            partial.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
        shrink(path.parent, _SUFFIX, _LIMIT_BYTES)
    except OSError as error:
        log.info("what was measured is not kept: %s", error)


def _path(question: str, depends_on: Mapping[str, str]) -> Path:
    digest = hashlib.blake2b(json.dumps(sorted(depends_on.items())).encode(), digest_size=8).hexdigest()
    return dirs.cache_dir() / "measured" / f"{question}-{digest}{_SUFFIX}"
