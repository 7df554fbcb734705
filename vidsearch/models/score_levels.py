"""From which score a hit of a model counts as high, medium or low. No torch.

Cosines have no zero point and differ from model to model, so levels are measured (`evaluation/calibration.py`). A model
that brings levels has them in its config.json. Those that a person measured on clips of their own lie in
`.levels/NAME.json` in the folder of models, so that bundled models can have some too, and go first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.files import replacing
from vidsearch.frozen import dataclass
from vidsearch.models.folder import CONFIG_FILE, ModelFolder

Level = Literal["high", "medium", "low", "none"]
LEVELS: tuple[Level, ...] = ("high", "medium", "low")  # those that a score can reach, best first
OWN_LEVELS_DIR = ".levels"


@dataclass(frozen=True, slots=True)
class ScoreLevels:
    """The least score of each level, falling. `measured` has date, rule and counts; empty if nobody wrote them down."""

    high: float
    medium: float
    low: float
    measured: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None  # the file of a person's own measurement; None: the model's

    def level(self, score: float) -> Level:
        """What a score means."""
        return next((name for name in LEVELS if score >= getattr(self, name)), "none")

    def to_dict(self) -> dict[str, Any]:
        """As config.json and a person's own file have them."""
        levels: dict[str, Any] = {name: getattr(self, name) for name in LEVELS}
        return levels | ({"measured": dict(self.measured)} if self.measured else {})


def levels_of(folder: ModelFolder, models_dir: Path) -> ScoreLevels | None:
    """The levels that hold for a model: a person's own, else those it brings; None if none were ever measured.

    ModelError for a file that does not hold three falling numbers.
    """
    own = own_levels_file(folder.name, models_dir)
    if own.is_file():
        return _parsed(_read(own), own, own)
    brought = folder.score_levels
    return None if brought is None else _parsed(brought, folder.path / CONFIG_FILE, None)


def own_levels_file(name: str, models_dir: Path) -> Path:
    """Where the levels lie that a person measured for a model."""
    return models_dir / OWN_LEVELS_DIR / f"{name}.json"


def keep_own_levels(name: str, levels: ScoreLevels, models_dir: Path) -> Path:
    """Write a person's own levels, in one step, and return the file. VidsearchError if it cannot be written."""
    file = own_levels_file(name, models_dir)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_text(json.dumps(levels.to_dict(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise VidsearchError(f"The levels cannot be kept in {file} ({error.strerror}); check the folder.") from error
    return file


def forget_own_levels(name: str, models_dir: Path) -> bool:
    """Delete a person's own levels of a model; False if there were none."""
    file = own_levels_file(name, models_dir)
    existed = file.is_file()
    file.unlink(missing_ok=True)
    return existed


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read as JSON ({error}); measure the levels again, or delete it") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} holds no levels; measure them again, or delete it")
    return content


def _parsed(values: Mapping[str, Any], file: Path, path: Path | None) -> ScoreLevels:
    numbers = [values.get(name) for name in LEVELS]
    finite = [float(number) for number in numbers if isinstance(number, int | float) and math.isfinite(number)]
    if len(finite) != len(LEVELS) or finite != sorted(finite, reverse=True):
        raise ModelError(f"{file} has levels that are not three falling numbers ({numbers}); measure them again")
    measured = values.get("measured", {})
    high, medium, low = finite
    return ScoreLevels(high, medium, low, measured if isinstance(measured, dict) else {}, path)
