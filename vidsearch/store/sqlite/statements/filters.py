"""What a query's filters mean in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vidsearch.records import Filter, Under
from vidsearch.store.sqlite.stored_paths import within_sql

ParameterisedSql = tuple[str, dict[str, Any]]


def condition(filters: Sequence[Filter]) -> ParameterisedSql:
    """A condition on the rows of `videos v` that holds if a video passes every filter, and its named parameters."""
    parts = [_condition(number, filter) for number, filter in enumerate(filters)]
    sql = " AND ".join(sql for sql, _ in parts) or "true"
    return sql, {name: value for _, parameters in parts for name, value in parameters.items()}


def _condition(number: int, filter: Filter) -> ParameterisedSql:
    match filter:
        case Under(path):
            return within_sql("v.path", path, prefix=f"filter{number}_")
