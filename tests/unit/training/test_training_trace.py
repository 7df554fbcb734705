"""Short runs of every stage of both networks give the losses that were recorded, and leave what a run leaves."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from make_training_trace import ASK, RUN, TRACE_FILE, ablation_losses, arithmetic, losses

from vidsearch.models.folder import open_folder
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.mobilevideogpt.load import load_language_model
from vidsearch.training.ask.settings import default_settings
from vidsearch.training.commands import main

# On a machine, or with a torch, that rounds otherwise. Measured without oneDNN, whose sums have another order: 1e-7 at
# first steps, 4e-5 after one step of Muon and AdamW, which divide by the size of the gradient and so spread roundings.
ELSEWHERE = 1e-3


@pytest.fixture(scope="module")
def trace() -> dict[str, Any]:
    return json.loads(TRACE_FILE.read_text())


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The folder of a run of all stages of the small answering model, and its losses."""
    out = tmp_path_factory.mktemp("ask") / "run"
    return out, losses(ASK, out)


def _assert_recorded(got: list[float], recorded: list[float], trace: dict[str, Any]) -> None:
    if arithmetic() == trace["arithmetic"]:
        assert got == recorded
    else:
        assert got == pytest.approx(recorded, rel=ELSEWHERE)


def test_the_search_model_trains_as_recorded(tmp_path: Path, trace: dict[str, Any]) -> None:
    """Two steps on words alone, then three on clips."""
    _assert_recorded(losses(RUN, tmp_path / "run"), trace["run"], trace)


def test_the_ablation_trains_as_recorded(trace: dict[str, Any]) -> None:
    """The record was made before runs could choose their device."""
    _assert_recorded(ablation_losses(), trace["ablation"], trace)


def test_every_stage_of_the_answering_model_trains_as_recorded(
    asked: tuple[Path, list[float]], trace: dict[str, Any]
) -> None:
    """Two steps of each of its seven stages."""
    _assert_recorded(asked[1], trace["ask"], trace)


def test_a_run_of_all_stages_leaves_a_model_that_ships(asked: tuple[Path, list[float]], tmp_path: Path) -> None:
    run, _ = asked
    names = [stage.name for stage in default_settings("mobilevideogpt-nano").stages]
    told = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["step"]) for line in told] == [(name, step) for name in names for step in (1, 2)]
    assert all(math.isfinite(line["loss"]) for line in told)
    assert [line["step"] for line in told if math.isfinite(line.get("validation_loss", math.inf))] == [2] * len(names)
    assert sorted(path.stem for path in (run / "stages").iterdir()) == sorted(names)
    main(["ship-ask", str(run), str(tmp_path / "model")])
    folder = open_folder(tmp_path / "model")
    assert [stage["name"] for stage in folder.provenance["settings"]["stages"]] == names
    shipped = load_language_model(folder, dtype=torch.float32)
    assert shipped.config == CONFIGS["mobilevideogpt-nano"]
    trained = torch.load(run / "stages" / "tuning.pt", weights_only=True)["parts"]["network"]
    for key, value in trained.items():
        torch.testing.assert_close(shipped.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_a_run_takes_over_the_finished_stages_of_another(asked: tuple[Path, list[float]], tmp_path: Path) -> None:
    words = ["ask", "--out", str(tmp_path / "run"), "--from", str(asked[0]), "--stages", "image-projector"]
    main([*words, "--steps", "1", "--batch", "2", "--validate-every", "0"])
    (taken,) = (torch.load(path, weights_only=True)["parts"] for path in (tmp_path / "run" / "stages").iterdir())
    source = torch.load(asked[0] / "stages" / "tuning.pt", weights_only=True)["parts"]
    differing = {key for key, value in source["network"].items() if not torch.equal(value, taken["network"][key])}
    assert differing and all(key.startswith("model.image_mm_projector.") for key in differing)
    assert all(torch.equal(value, taken["image_tower"][key]) for key, value in source["image_tower"].items())
