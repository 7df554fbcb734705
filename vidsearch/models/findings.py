"""What a self-test found, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidsearch.errors import ModelError
from vidsearch.models.folder import SELF_TEST_FILE, ModelFolder


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok` None: measured, and neither right nor wrong."""

    what: str
    ok: bool | None
    note: str


class SelfTestError(ModelError):
    """A model does not do what it should."""


def require(findings: Sequence[Finding], name: str) -> None:
    """SelfTestError with the first finding that is wrong."""
    for finding in findings:
        if finding.ok is False:
            raise SelfTestError(f"{name} fails its self-test: {finding.what}: {finding.note}; get its files again")


def write_findings(path: Path, findings: Sequence[Finding]) -> None:
    """Keep a self-test's result as JSON."""
    path.write_text(json.dumps([asdict(finding) for finding in findings], indent=1) + "\n", encoding="utf-8")


def kept_findings(folder: ModelFolder) -> list[Finding]:
    """The result kept in a model's folder; none where none was kept or it cannot be read."""
    try:
        rows: list[Mapping[str, Any]] = json.loads((folder.path / SELF_TEST_FILE).read_text(encoding="utf-8"))
        return [Finding(row["what"], row["ok"], row["note"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []
