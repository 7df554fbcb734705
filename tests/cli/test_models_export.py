"""`vidsearch models export`, and indexing with what it wrote on a machine without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from json_schemas import follows
from support import CLIPS, RunVidsearch, environment

from vidsearch.extras import installed
from vidsearch.models.conversion.mobile import profile

MODEL = "mobileviclip-nano"
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
sys.argv = ["vidsearch", *sys.argv[1:]]
from vidsearch.__main__ import main
main()
"""


def without_torch(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=environment(None), timeout=120, check=False)


def test_an_export_is_written_checked_and_shown(command: RunVidsearch, tmp_path: Path) -> None:
    done = command("models", "export", MODEL, "--to", "onnx", "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr.decode()
    clip, text = follows("models-export", done.stdout)["exports"]
    assert (clip["tower"], text["tower"], clip["precision"]) == ("clip", "text", "fp32")
    assert clip["fidelity"]["cosine"] > 0.99999
    checked = command("models", "export", "--check", clip["path"])
    assert checked.returncode == 0, checked.stderr.decode()
    assert checked.stdout.decode().split("\t")[2:4] == ["1.000000", "1.000000"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give either --to TARGET"),
        (("--to", "onnx"), 2, "give the NAME of the model"),
        ((MODEL, "--to", "tensorrt"), 2, "there is no target 'tensorrt'"),
        ((MODEL, "--to", "onnx", "--towers", "sound"), 2, "there is no tower 'sound'"),
        ((MODEL, "--to", "onnx", "--precision", "int4"), 2, "choose fp32 or fp16 or int8-weights"),
        (("mobilevideogpt-nano", "--to", "onnx"), 5, "is not a model for index and query"),
        (("--check", "nothing.onnx"), 5, "there is no file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    command: RunVidsearch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = command("models", "export", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in " ".join(done.stderr.decode().replace("│", " ").split())


@pytest.mark.skipif(installed("litert_torch"), reason="the extra litert is installed")
def test_a_missing_extra_is_one_sentence_with_the_line_that_installs_it(command: RunVidsearch, tmp_path: Path) -> None:
    done = command("models", "export", MODEL, "--to", "litert", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1] == (
        "vidsearch: exporting to litert needs the package litert_torch, which is not installed; install it with: "
        "pip install 'vidsearch[litert]'"
    )
    assert not (tmp_path / "out").exists()


def test_a_machine_without_torch_indexes_with_an_export(command: RunVidsearch, own_home: Path) -> None:
    clip = CLIPS / "red-square-left.mp4"
    refused = without_torch("index", clip, "--runtime", "onnx")
    assert refused.returncode == 5
    assert "no torch on this machine to make one" in refused.stderr.decode()
    assert f"vidsearch models export {MODEL} --to onnx" in refused.stderr.decode()
    assert (
        b"needs the package torch, which is not installed" in without_torch("index", clip, "--runtime", "torch").stderr
    )

    assert command("models", "export", MODEL, "--to", "onnx", "--towers", "clip").returncode == 0
    indexed = without_torch("index", clip)
    assert indexed.returncode == 0, indexed.stderr.decode()
    assert b"vectors as torch's: cosine 1.000000" in indexed.stderr
    found = without_torch("query", "a red square moves to the left", "--json")
    assert found.returncode == 0, found.stderr.decode()
    other = command("index", CLIPS / "blue-heart-grows.mp4", "--runtime", "torch")  # into the same library
    assert other.returncode == 0, other.stderr.decode()
    hits = json.loads(command("query", "a red square moves to the left", "--json").stdout)["hits"]
    assert hits[0]["path"] == str(clip)
    (model,) = json.loads(command("info", "--json").stdout)["models"]
    assert (model["name"], model["videos"]) == (MODEL, 2)


def test_a_profile_is_a_table_with_bars_and_json(command: RunVidsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = command("models", "profile", MODEL, "--runs", "1")
    assert shown.returncode == 0, shown.stderr.decode()
    rows = [line.split("\t") for line in shown.stdout.decode().splitlines()]
    assert {"stem", "stage 4 attention", "head", "Conv"} <= {row[0] for row in rows}
    assert all(row[2].endswith("%") and set(row[3]) == {"█"} for row in rows)
    done = command("models", "profile", MODEL, "--runs", "1", "--json")
    found = follows("models-profile", done.stdout)
    assert (found["model"], found["device"]) == (MODEL, "cpu, 1 thread")
    assert sum(found["modules"].values()) == pytest.approx(found["sum_ms"])
    monkeypatch.setattr(profile, "DEPTHS", (1, 2))
    done = command("models", "profile", MODEL, "--sweep", "depth", "--runs", "1", "--json")
    assert [row["blocks"] for row in follows("models-profile", done.stdout)["sweep"]] == [1, 2]
    assert command("models", "profile", MODEL, "--runtime", "jax").returncode == 2
    assert command("models", "profile", MODEL, "--sweep", "width").returncode == 2
