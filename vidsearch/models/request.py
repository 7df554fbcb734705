"""What is to be converted: the value that a family's converter is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidsearch.files import sha256
from vidsearch.models.registry import known_model

Dtype = Literal["float32", "float16"]
Precision = Dtype | Literal["stored"]  # as the published files have it


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """The published files of the model `name` in `source`, a file or a folder, and how to read and store them.

    `renames` and `folded` override the reading of keys whose names are not public (`fit.py`). `fetched` says for each
    file which host it came from.
    """

    name: str
    source: Path
    dtype: Precision = "float32"
    renames: Mapping[str, str] | None = None
    folded: bool | None = None
    fetched: Sequence[Mapping[str, Any]] = ()

    @property
    def options(self) -> frozenset[str]:
        """Which of the options that are not for every family were given."""
        given = {"renames": bool(self.renames), "folded": self.folded is not None}
        return frozenset(name for name, is_given in given.items() if is_given)

    def provenance(self, files: Sequence[Path], notes: Sequence[str]) -> dict[str, Any]:
        """What config.json keeps of where the weights came from: the files that were read and what was decided."""
        top = (
            self.source if self.source.is_dir() else self.source.parent
        )  # files of one name may lie in several folders
        return {
            "files": [{"name": path.relative_to(top).as_posix(), "sha256": sha256(path)} for path in files],
            "source": known_model(self.name).source,
            "licence": known_model(self.name).licence,
            "notes": list(notes),
            **fetched_note(self.fetched),
        }


def fetched_note(fetched: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entry of the provenance for files that came from hosts; none for a folder that was given."""
    return {"fetched": [dict(file) for file in fetched]} if fetched else {}
