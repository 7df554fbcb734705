"""What the network made of a clip, kept on disk: a clip is decoded and encoded once, whatever is asked about it.

One safetensors file for each entry, named by a hash of all that it depends on, so that an entry is never out of date,
only unused. Reading one makes it the youngest, and the oldest go when the folder is over its limit.
A cache that cannot be written or read costs time and is not an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidsearch.bounded_folder import BoundedFolder
from vidsearch.size_limits import limit_from_environment

log = logging.getLogger(__name__)

LIMIT_VARIABLE = "VIDSEARCH_CACHE_MB"
DEFAULT_LIMIT_MB = 512  # about 120 clips of mobilevideogpt-0.5b
_SUFFIX = ".visual"
_FORMAT = 2  # 2: keyframes_s for chosen_s


def cache_key(*parts: object) -> str:
    """A name for an entry that depends on `parts`, which JSON can write."""
    return hashlib.blake2b(json.dumps([_FORMAT, *parts]).encode(), digest_size=16).hexdigest()


class VisualCache:
    """A folder of entries: visual tokens (V, d) float16, and facts about the clip that they came from."""

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        """`limit_bytes` None: `VIDSEARCH_CACHE_MB`, else 512 MB. 0 keeps nothing."""
        limit = limit_from_environment(LIMIT_VARIABLE, DEFAULT_LIMIT_MB) if limit_bytes is None else limit_bytes
        self._files = BoundedFolder(folder, _SUFFIX, limit)

    def get(self, key: str) -> tuple[NDArray[np.float16], dict[str, Any]] | None:
        """The entry and its facts; None if there is none that can be read."""
        path = self._files.path(key)
        try:
            with safe_open(path, framework="numpy") as entry:
                facts = json.loads(entry.metadata()["facts"])
                tokens = entry.get_tensor("tokens")
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            log.info("the cached clip %s is not used: %s", path, error)
            return None
        return tokens, facts

    def put(self, key: str, tokens: NDArray[np.float16], facts: Mapping[str, Any]) -> None:
        """Keep an entry, whole or not at all, and remove the oldest if there are too many."""
        self._files.put(key, save({"tokens": tokens}, metadata={"facts": json.dumps(facts)}))
