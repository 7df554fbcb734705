"""Inputs and output of the files that take one clip or one text at a time, for their cards."""

from __future__ import annotations

from typing import Any

from vidsearch.models.conversion.mobile.tower import Tower


def one_at_a_time(tower: Tower) -> dict[str, Any]:
    """Name, shape, type and meaning."""
    config = tower.config
    output = {"name": "vector", "shape": [1, config.embed_dim], "dtype": "float32", "what": "unit length"}
    if tower.name == "clip":
        side, frames = config.preprocessing.side_px, config.preprocessing.frames
        what = "RGB frames in time order, normalised"
        return {
            "inputs": [{"name": "clip", "shape": [frames, 3, side, side], "dtype": "float32", "what": what}],
            "output": output,
        }
    context = config.text.context
    rows = "rows of the word table, one for each token" if config.text.pruned else "token ids, padded with 0"
    return {
        "inputs": [
            {"name": "ids", "shape": [1, context], "dtype": "int32", "what": rows},
            {"name": "end", "shape": [1, 1, context], "dtype": "float32", "what": "1 at the end token, else 0"},
        ],
        "output": output,
    }
