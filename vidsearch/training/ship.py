"""A trained network → the model folder that ships, with the score levels measured on held-out clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.model import MobileViCLIP
from vidsearch.training.evaluate import from_pictures, score_levels
from vidsearch.training.network_embedders import network_evaluator
from vidsearch.training.world.eval_sets import retrieval_set

_LEVEL_CLIPS = 500
_LEVEL_SEED = 77  # not the set of the model card


def ship(network: MobileViCLIP, run: dict[str, Any], folder: Path, card: str | None = None) -> ModelFolder:
    """Write `network` as a model folder: float16 matrices, provenance from the run's file, score levels, the card."""
    evaluator = network_evaluator(network, from_pictures(network.config.preprocessing.side_px), _LEVEL_SEED)
    levels = score_levels(evaluator.cosines(retrieval_set(_LEVEL_SEED, _LEVEL_CLIPS)))
    provenance = {
        "source": "trained from scratch on the synthetic world of vidsearch",
        "licence": "MIT",
        "command": run["command"],
        "settings": run["settings"],
        "steps": run["step"],
        "notes": run.get("notes", []),
    }
    return write_model_folder(network, folder, provenance=provenance, dtype="float16", score_levels=levels, card=card)
