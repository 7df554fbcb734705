"""The numbered hits of the last query."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vidsearch.records import Hit
from vidsearch.store.sqlite import stored_values
from vidsearch.store.sqlite.stored_paths import to_stored

_COLUMNS = ("number", "path", "start_s", "end_s", "best_s", "score", "model", "offline", "fingerprint")


def save(connection: sqlite3.Connection, query: str, hits: Sequence[Hit]) -> None:
    """Puts a query and its hits in the place of the last ones."""
    connection.execute("INSERT OR REPLACE INTO last_query (id, text) VALUES (1, ?)", (query,))
    connection.execute("DELETE FROM hits")
    connection.executemany(
        f"INSERT INTO hits ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})",
        [asdict(hit) | {"path": to_stored(hit.path)} for hit in hits],
    )


def last(connection: sqlite3.Connection) -> tuple[str, list[Hit]]:
    """The last query and its hits by number; ("", []) before the first one."""
    query = connection.execute("SELECT text FROM last_query").fetchone()
    rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM hits ORDER BY number").fetchall()
    return ("" if query is None else query[0]), [_hit(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _hit(row: dict[str, Any]) -> Hit:
    for name in ("start_s", "end_s", "best_s", "score"):
        stored_values.number(row[name], f"the {name} of a hit")
    return Hit(**row | {"path": stored_values.path(row["path"]), "offline": bool(row["offline"])})
