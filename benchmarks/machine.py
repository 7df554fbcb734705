"""What every benchmark says at its end: the machine, the date and one JSON line. Also: models with fresh weights."""

from __future__ import annotations

import datetime
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, and the versions that decide speed."""
    import torch

    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def finish(benchmark: str, **figures: Any) -> None:
    """The last line of a benchmark: its figures, the machine and the date as one JSON object."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps({"benchmark": benchmark, "date": datetime.date.today().isoformat(), **rounded, **machine()}))


@contextmanager
def model_with_fresh_weights(name: str) -> Iterator[Path]:
    """A folder of models that holds `name` with fresh weights, unless it is bundled."""
    from vidsearch.models.folder import BUNDLED_DIR
    from vidsearch.models.install import write_model_folder
    from vidsearch.models.load import build

    with tempfile.TemporaryDirectory() as folder:
        if not (BUNDLED_DIR / name).is_dir():
            write_model_folder(build(name), Path(folder) / name, provenance={"weights": "fresh, untrained"})
        yield Path(folder)
