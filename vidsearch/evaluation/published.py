"""What papers and model cards published about each benchmark (`published.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """The figures of one model, in percent; `note` is its source, or what it does otherwise."""

    model: str
    figures: Mapping[str, float]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"model": self.model, **self.figures, "note": self.note}


def published(kind: str, benchmark: str) -> tuple[Published, ...]:
    """Of a kind of benchmark and a set, in the order of the file; () if nothing is known."""
    rows = json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))[kind].get(benchmark, [])
    return tuple(Published(row["model"], row["figures"], row["note"]) for row in rows)
