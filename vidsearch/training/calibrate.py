"""`vidsearch train calibrate`: what a score of a model means, measured on a person's own videos and queries."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vidsearch import dirs
from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.errors import VidsearchError
from vidsearch.evaluation.calibration import leave_one_out, outcome
from vidsearch.evaluation.calibration_report import figures, levels_table, measured_today, sentence
from vidsearch.evaluation.known_answers import ask, read_queries, require_enough
from vidsearch.models.folder import find_model
from vidsearch.models.score_levels import forget_own_levels, keep_own_levels
from vidsearch.store.library import open_library


def add_parser(commands: Any) -> None:
    """Add the command to the parser of `vidsearch train`."""
    calibrate = commands.add_parser(
        "calibrate",
        help="measure on your own videos from which score a hit is high, medium or low",
        description="Asks queries whose answers are known of the library, and keeps for the model from which score a "
        "hit is high, medium or low. The videos must be indexed with the model.",
    )
    calibrate.add_argument("--model", required=True, help="name of a model that searches")
    calibrate.add_argument(
        "--queries",
        type=Path,
        metavar="FILE",
        help="CSV with the columns file and text: what to search for, and the video that shows it; at least 20 rows "
        "with a file, and 20 with an empty one, about things that are in no video",
    )
    calibrate.add_argument("--forget", action="store_true", help="go back to the levels that the model came with")
    calibrate.set_defaults(act=_calibrate, threads=0)


def _calibrate(options: argparse.Namespace) -> None:
    folder = find_model(options.model, dirs.models_dir(), "embedding")
    if options.forget == (options.queries is not None):
        raise VidsearchError("Give either --queries FILE, to measure levels, or --forget.")
    if options.forget:
        had = forget_own_levels(folder.name, dirs.models_dir())
        _print(f"{folder.name} has {'again the levels it came with' if had else 'no levels of yours to forget'}.")
        return
    queries = read_queries(options.queries)
    require_enough(queries)
    with open_library(dirs.home_dir(), create=False) as library:
        known = ask(library, open_text_embedder(folder.name, models_dir=dirs.models_dir()), queries)
    levels = measured_today(known)
    kept_in = keep_own_levels(folder.name, levels, dirs.models_dir())
    _print(levels_table(known, levels))
    _print(f"With these levels: {sentence(outcome(known, levels))}.")
    _print(f"Each query judged by the others: {sentence(leave_one_out(known))}.")
    _print(f"Kept in {kept_in}; they go before the levels that {folder.name} came with, until --forget.")
    _print(json.dumps({"model": folder.name, **figures(known, levels)}))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
