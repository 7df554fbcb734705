"""`vidsearch evaluate grounding` and `features` with the bundled model on events of its world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from json_schemas import follows
from support import RunVidsearch

from vidsearch.training.world.stand_in_moments import write_charades, write_qvhighlights


@pytest.fixture(scope="module")
def charades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_charades(tmp_path_factory.mktemp("Charades"), 1, events=4)


def test_moments_of_a_video_of_events(charades: Path, tmp_path: Path, command: RunVidsearch) -> None:
    words = ("evaluate", "grounding", "charades-sta", "--data", charades)
    predictions = tmp_path / "predictions.jsonl"
    done = command(*words, "--json", "--predictions", predictions)
    assert done.returncode == 0 and done.stderr == b""
    result = follows("evaluate-grounding", done.stdout)
    assert (result["set"], result["model"], result["items"]) == ("charades-sta", "mobileviclip-nano", 4)
    assert result["metrics"]["r1@0.5"] >= 75  # chance, one window of nine, is about 25
    assert len(predictions.read_text().splitlines()) == 4
    lines = command(*words).stdout.decode().splitlines()
    assert lines[0] == "mobileviclip-nano on charades-sta: 4 queries"
    assert lines[2] == f"R@1 at IoU 0.5\t{result['metrics']['r1@0.5']:.1f}"


def test_features_for_moment_detr(tmp_path: Path, command: RunVidsearch) -> None:
    data = write_qvhighlights(tmp_path / "data", 1, events=1)
    out = tmp_path / "features"
    done = command("evaluate", "features", "--data", data, "--out", out)
    assert done.returncode == 0
    assert done.stdout.decode() == f"1 videos and 1 queries by mobileviclip-nano in {out}\n"
    done = command("evaluate", "features", "--data", data, "--out", out, "--json")
    assert follows("evaluate-features", done.stdout)["folder"] == str(out)
    with np.load(out / "clips" / "standin0000_0.0_10.0.npz") as clips, np.load(out / "text" / "qid0.npz") as text:
        assert clips["features"].shape == (5, 192) and text["last_hidden_state"].shape == (1, 192)
        np.testing.assert_allclose(np.linalg.norm(clips["features"], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("grounding", "tacos", "--data", "."), b"No grounding set is called 'tacos'"),
        (("grounding", "charades-sta", "--data", ".", "--stride", "9"), b"--stride 9 is longer than --window 8"),
        (("features", "--data", ".", "--out", "out", "--format", "csv"), b"No format is called 'csv'"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], message: bytes, tmp_path: Path, command: RunVidsearch) -> None:
    done = command("evaluate", *words, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
