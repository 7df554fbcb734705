"""One run of indexing as JSON lines on stdout: `python -m vidsearch.serving.index_run`, in a process of its own.

The run brings the folders that the library knows up to date, with its model; SIGINT ends it after a clean commit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from vidsearch import dirs, json_forms
from vidsearch.embedding.executors import RuntimeChosen, VideoStarted, WindowEmbedded
from vidsearch.embedding.long_runs import open_executor
from vidsearch.errors import EXIT_INTERRUPTED, VidsearchError
from vidsearch.machine import cores
from vidsearch.models.folder import find_model
from vidsearch.records import WindowSpec
from vidsearch.store.library import open_library
from vidsearch.workflows.index import (
    IndexOptions,
    IndexOutcome,
    RootPlanned,
    VideoFailed,
    VideoIndexed,
    WorkStarted,
    index_folders,
)


def run(home: Path, model: str, device: str, *, retry_failed: bool) -> None:
    """Writes a line for every outcome. Raises VidsearchError if the run cannot be begun or ends early."""
    folder = find_model(model, dirs.models_dir(), "embedding")
    preprocessing = folder.embedding.preprocessing
    with open_library(home, create=False) as library:
        roots = library.roots()
        specs = next((held.window_specs for held in library.info().models if held.name == folder.name), ())
        options = IndexOptions(
            model=folder.name,
            frame_spec=preprocessing.frame_spec,
            window_spec=specs[0] if specs else WindowSpec(frames=preprocessing.frames),
            retry_failed=retry_failed,
            jobs=max(1, cores() - 1),  # a core is left to whoever searches meanwhile
            models_dir=dirs.models_dir(),
            device=device,
        )
        open_embedder = options.embed_spec.open_embedder
        for outcome in index_folders(roots, library, open_embedder, options, open_executor=open_executor):
            _write(_form(outcome))


def _form(outcome: IndexOutcome) -> dict[str, Any]:
    match outcome:
        case RootPlanned(root, plan):
            return {
                "kind": "planned",
                "path": json_forms.name_text(root),
                "to_index": len(plan.to_index),
                "unchanged": len(plan.unchanged) + len(plan.refingerprinted),
                "gone": len(plan.gone),
                "moved": len(plan.moved),
                "offline": plan.offline,
            }
        case WorkStarted(files, device):
            size = sum(file.size_bytes for file in files)
            return {"kind": "started", "files": len(files), "bytes": size, "device": device}
        case VideoStarted(file=file, windows=windows):
            return {"kind": "video", "path": json_forms.name_text(file.path), "windows": windows}
        case RuntimeChosen(device):
            return {"kind": "device", "device": device}
        case WindowEmbedded(file=file):
            return {"kind": "window", "path": json_forms.name_text(file.path)}
        case VideoIndexed(file, facts, windows):
            path = json_forms.name_text(file.path)
            return {"kind": "indexed", "path": path, "windows": windows, "duration_s": facts.duration_s}
        case VideoFailed(path, kind, message):
            return {"kind": "failed", "path": json_forms.name_text(path), "error_kind": kind, "error": message}
    raise TypeError(outcome)


def _write(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--retry-failed", action="store_true")
    parser.add_argument("home", type=Path)
    given = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(10)  # who searches goes first
    try:
        run(given.home, given.model, given.device, retry_failed=given.retry_failed)
    except VidsearchError as error:
        _write({"kind": "error", "error": str(error)})
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
