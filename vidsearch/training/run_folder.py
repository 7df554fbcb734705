"""The files of a run's --out folder: checkpoint.pt, metrics.jsonl, run.json."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vidsearch.errors import VidsearchError
from vidsearch.files import replacing

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.jsonl"
RUN_FILE = "run.json"
Metrics = dict[str, Any]


@contextmanager
def metrics_to(folder: Path) -> Iterator[Callable[[Metrics], None]]:
    """A function that appends one line of JSON to the metrics of a run and prints it."""
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as lines:

        def report(metrics: Metrics) -> None:
            for stream in (sys.stdout, lines):
                stream.write(json.dumps(metrics) + "\n")
                stream.flush()

        yield report


def write_checkpoint(path: Path, **state: Any) -> None:
    """Write a checkpoint; a reader sees the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        torch.save(state, partial)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; VidsearchError if the file is missing, damaged or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise VidsearchError(f"There is no checkpoint {path}; start the run without --resume.") from None
    except Exception as error:  # torch raises whatever its unpickler meets in a damaged file
        raise VidsearchError(f"{path} is not a checkpoint of a training run, or it is damaged.") from error
    if not isinstance(state, dict) or not {"parts", "optimiser", "step"} <= state.keys():
        raise VidsearchError(f"{path} is not a checkpoint of a training run.")
    return state


def write_run_file(folder: Path, settings: Any, command: str, **more: Any) -> None:
    """What a run was: its settings, a dataclass; the command line; and what else is given."""
    run = {**more, "settings": dataclasses.asdict(settings), "command": command}
    (folder / RUN_FILE).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def read_run_file(folder: Path) -> dict[str, Any]:
    """What `write_run_file` wrote; VidsearchError if it cannot be read."""
    try:
        return json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VidsearchError(
            f"{folder / RUN_FILE} cannot be read ({error}); name the --out folder of a run."
        ) from error
