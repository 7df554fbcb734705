"""The shape of a schema, by which a library and its version are recognised."""

from __future__ import annotations

import sqlite3


def read_shape(connection: sqlite3.Connection) -> frozenset[str]:
    """One text for each column, index and trigger: `videos.path`, `index videos_by_fingerprint`."""
    rows = connection.execute(
        """SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
        WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite~_%' ESCAPE '~'
        UNION ALL SELECT type || ' ' || name FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL
        """
    )
    return frozenset(row[0] for row in rows)


def shape_version(shape: frozenset[str]) -> int | None:
    """The version of which nothing is missing and that has nothing of a later one; None if there is none."""
    later: frozenset[str] = frozenset()
    for version in sorted(SHAPES, reverse=True):
        if SHAPES[version] <= shape and not (later - SHAPES[version]) & shape:
            return version
        later |= SHAPES[version]
    return None


def _shape(columns: dict[str, str], others: str) -> frozenset[str]:
    return frozenset(f"{table}.{column}" for table, names in columns.items() for column in names.split()) | frozenset(
        f"{kind} {name}" for kind, name in (entry.split(":") for entry in others.split())
    )


_VIDEOS = """id path size_bytes mtime_ns device fingerprint state error_kind error start_s duration_s fps frames
    width_px height_px codec container rotation_deg reader damage"""
_EMBEDDING = "id video_id model_id window_length_s window_stride_s window_frames windows vectors"
_SHARED = {
    "roots": "id path is_folder device inode",
    "videos": _VIDEOS,
    "models": "id name dim changes",
    "last_query": "id text",
    "hits": "number path start_s end_s best_s score model offline",
}
_FIRST = _SHARED | {
    "library": "id writes",
    "indexings": f"{_EMBEDDING} first_label",
    "windows": "indexing_id ordinal start_s end_s",
}
_SECOND = _SHARED | {
    "embeddings": f"{_EMBEDDING} first_vector_id",
    "windows": "embedding_id ordinal start_s end_s",
}
_THIRD = _SECOND | {"checksums": "embedding_id crc32", "hits": f"{_SHARED['hits']} fingerprint"}
_FOURTH = _THIRD | {"videos": f"{_VIDEOS} recorded_s dated", "window_pictures": "embedding_id grey"}
_SIXTH = _FOURTH | {"embedding_runtimes": "embedding_id runtime precision"}
_SEVENTH = _SIXTH | {"still_windows": "embedding_id windows"}
_EIGHTH = _SEVENTH | {"window_kinds": "embedding_id kind"}

_SECOND_OTHERS = """index:videos_by_fingerprint index:embeddings_by_vector_id
    trigger:embedding_comes trigger:embedding_leaves"""
SHAPES = {
    1: _shape(
        _FIRST, "index:videos_by_fingerprint index:indexings_by_label trigger:indexing_comes trigger:indexing_leaves"
    ),
    2: _shape(_SECOND, _SECOND_OTHERS),
    3: _shape(_THIRD, _SECOND_OTHERS),
    4: _shape(_FOURTH, _SECOND_OTHERS),
    5: _shape(_FOURTH, f"{_SECOND_OTHERS} index:embeddings_by_video"),
    6: _shape(_SIXTH, f"{_SECOND_OTHERS} index:embeddings_by_video"),
    7: _shape(_SEVENTH, f"{_SECOND_OTHERS} index:embeddings_by_video"),
    8: _shape(_EIGHTH, f"{_SECOND_OTHERS} index:embeddings_by_video"),
}
