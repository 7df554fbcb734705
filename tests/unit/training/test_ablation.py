"""The ablation: runs in processes, kept, and the table of runs that were made before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.models.mobileviclip.config import ABLATION
from vidsearch.training.ablation import COLUMNS, table
from vidsearch.training.commands import main

DOCS = Path(__file__).parents[3] / "docs"


def test_the_documented_table_is_what_the_command_prints_of_the_documented_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["ablation", "--table", str(DOCS / "ablation.json")])
    printed = capsys.readouterr().out
    assert printed.count("|\n") == 2 + len(ABLATION)
    assert printed in (DOCS / "ablation.md").read_text()
    runs = json.loads((DOCS / "ablation.json").read_text())["runs"]
    made = [(run["row"], run["seed"]) for run in runs]
    assert len(set(made)) == len(made)
    assert set(made) >= {(row, seed) for row in ABLATION for seed in range(3)}


def test_a_table_has_the_mean_and_deviation_of_each_row() -> None:
    runs = [{"row": "repmixer", **dict.fromkeys(COLUMNS, value)} for value in (0.5, 0.7)]
    runs.append({"row": "baseline", **dict.fromkeys(COLUMNS, 0.25)})
    lines = table(runs).splitlines()
    assert lines[2] == "| baseline | 0.250 | 0.250 | 0.250 | 0.250 |"
    assert lines[3] == "| repmixer " + "| 0.600 ± 0.141 " * 4 + "|"
    assert lines[4] == "| attention | – | – | – | – |"


def test_a_folder_of_finished_runs_is_read_and_nothing_is_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row in ABLATION:
        run = {"row": row, "seed": 5, **dict.fromkeys(COLUMNS, 0.5)}
        (tmp_path / f"{row}-5-7x4-32px.json").write_text(json.dumps(run))
    budget = ["--steps", "7", "--batch", "4", "--seeds", "1", "--first-seed", "5"]
    main(["ablation", "--out", str(tmp_path), *budget])
    trained = capsys.readouterr().out.splitlines()
    main(["ablation", "--table", str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == trained[:-1]
    assert [run["seed"] for run in json.loads(trained[-1])["runs"]] == [5] * len(ABLATION)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give either --out DIR"),
        (["--table", "nowhere.json"], "nowhere.json holds no runs of an ablation"),
    ],
)
def test_what_cannot_be_done_is_named(words: list[str], message: str) -> None:
    with pytest.raises(VidsearchError, match=message):
        main(["ablation", *words])
