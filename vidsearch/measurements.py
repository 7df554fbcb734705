"""What was measured on this machine, kept in the cache's folder: a JSON file for each question and what it depends on.

An entry is found by all that it depends on, so that a new processor, library or model finds none. One that cannot be
read or written costs another measurement and is not an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from vidsearch import dirs
from vidsearch.bounded_folder import BoundedFolder

_LIMIT_BYTES = 100_000  # hundreds of entries


def kept(question: str, depends_on: Mapping[str, str]) -> dict[str, Any] | None:
    """What was found; None if it was not measured with these dependencies, or its file is damaged."""
    content = _folder().get(_key(question, depends_on))
    try:
        entry = json.loads(content or b"null")
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("depends_on") != dict(depends_on):
        return None
    found = entry.get("found")
    return found if isinstance(found, dict) else None


def keep(question: str, depends_on: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """Keep what was found, in the place of what was found before."""
    entry = {"depends_on": dict(depends_on), "found": dict(found)}
    _folder().put(_key(question, depends_on), f"{json.dumps(entry, indent=1)}\n".encode())


def _folder() -> BoundedFolder:
    return BoundedFolder(dirs.cache_dir() / "measured", ".json", _LIMIT_BYTES)


def _key(question: str, depends_on: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(json.dumps(sorted(depends_on.items())).encode(), digest_size=8).hexdigest()
    return f"{question}-{digest}"
