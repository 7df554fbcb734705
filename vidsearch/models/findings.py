"""What a self-test found, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vidsearch.errors import ModelError
from vidsearch.models.folder import SELF_TEST_FILE, ModelFolder
from vidsearch.models.json_files import parse, read_text
from vidsearch.models.schema import read_record


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `ok` None: measured, and neither right nor wrong."""

    what: str
    ok: bool | None
    note: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """What selftest.json holds."""

    findings: tuple[Finding, ...]


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
    path = folder.path / SELF_TEST_FILE
    try:
        return list(read_record(_Kept, {"findings": parse(read_text(path), path)}, "").findings)
    except ModelError:
        return []
