"""Files whose publisher gives no hash: the first fetch is written down, and later ones must be the same.

`fetched.json` in the folder of models: where a file came from → SHA-256, entity tag and day of its first fetch. It
stays when a model is removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from vidsearch.errors import ModelError
from vidsearch.fetching.remote import FetchedFile
from vidsearch.files import replacing

_FILE = "fetched.json"
Seen = dict[str, dict[str, str | None]]


def require_same(models_dir: Path, file: FetchedFile) -> None:
    """ModelError if an earlier fetch from the same place brought another content."""
    first = _read(models_dir).get(_key(file))
    if first is None or file.hash_published or first["sha256"] == file.sha256:
        return
    raise ModelError(
        f"{file.remote.name} from {file.remote.source} is not what it was when it was first fetched "
        f"({first['date']}, SHA-256 {str(first['sha256'])[:12]}…; now {file.sha256[:12]}…), and no hash is published; "
        "if you know that it was changed on purpose, add --accept-changed"
    )


def remember(models_dir: Path, files: Iterable[FetchedFile]) -> None:
    """Write down what was fetched and installed; what was known of other files stays."""
    seen = _read(models_dir)
    for file in files:
        if not file.hash_published:
            first = seen.get(_key(file))
            if first is None or first["sha256"] != file.sha256:
                seen[_key(file)] = {"sha256": file.sha256, "etag": file.remote.etag, "date": today()}
    with replacing(models_dir / _FILE) as partial:
        partial.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")


def today() -> str:
    """The day in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).date().isoformat()


def _key(file: FetchedFile) -> str:
    return f"{file.remote.source}/{file.remote.name}"


def _read(models_dir: Path) -> Seen:
    path = models_dir / _FILE
    try:
        seen: Seen = json.loads(path.read_text(encoding="utf-8"))
        return {key: {"sha256": row["sha256"], "etag": row["etag"], "date": row["date"]} for key, row in seen.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{path}, which keeps the hashes of what was fetched first, cannot be read ({error}); delete it"
        ) from error
