"""`vidsearch models`, `doctor`, `check` and `rebuild` as a user meets them."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from seeded import TEXT_PRUNED, seeded, small_config
from support import RunVidsearch

from vidsearch.extras import installed
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import WEIGHTS_FILE, ModelFolder
from vidsearch.models.score_levels import ScoreLevels, keep_own_levels


@pytest.fixture(scope="module")
def small_tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model folder from another machine: mobileviclip-tiny at a thousandth of its size."""
    folder = tmp_path_factory.mktemp("brought") / "mobileviclip-tiny"
    return write_model_folder(
        seeded(small_config("mobileviclip-tiny", TEXT_PRUNED)), folder, provenance={"source": "x"}
    )


def listed(command: RunVidsearch) -> dict[str, str]:
    models = json.loads(command("models", "list", "--json").stdout)["models"]
    return {model["name"]: model["state"] for model in models}


def test_a_model_is_added_shown_verified_and_removed(
    small_tiny: ModelFolder, own_home: Path, command: RunVidsearch
) -> None:
    assert listed(command)["mobileviclip-tiny"] == "available"
    line = next(line for line in command("models", "list").stdout.decode().splitlines() if "viclip-tiny\t" in line)
    assert line.split("\t")[1:4] == ["available", "431.0 MB", "search of real videos on a slow machine"]
    assert line.split("\t")[5].startswith("Google Drive folder ")
    added = command("models", "add", "mobileviclip-tiny", "--from", small_tiny.path)
    assert added.returncode == 0, added.stderr.decode()
    assert b"ok: ONNX text encoder" in added.stderr
    assert listed(command) | {"mobileviclip-tiny": "installed", "mobileviclip-nano": "bundled"} == listed(command)

    facts = json.loads(command("models", "info", "mobileviclip-tiny", "--json").stdout)
    assert (facts["origin"], facts["provenance"]) == ("installed", {"source": "x"})
    assert set(facts["parameters"]) == {"clips", "text", "other"}
    assert facts["exports"] == {"text.onnx": (small_tiny.path / "text.onnx").stat().st_size}
    assert [item["ok"] for item in facts["self_test"]] == [True] * 8 + [None]
    assert WEIGHTS_FILE in facts["hashes"]

    weights = own_home / "models" / "mobileviclip-tiny" / WEIGHTS_FILE
    assert command("models", "verify").returncode == 0
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    verified = command("models", "verify", "--json")
    assert verified.returncode == 5
    assert json.loads(verified.stdout)["problems"] == {
        "mobileviclip-tiny": ["model.safetensors has changed"],
        "mobileviclip-nano": [],
        "mobilevideogpt-nano": [],
    }

    own = keep_own_levels("mobileviclip-tiny", ScoreLevels(0.5, 0.4, 0.3), own_home / "models")
    removed = command("models", "remove", "mobileviclip-tiny")
    assert removed.returncode == 0
    assert f"you measured for mobileviclip-tiny stay in {own}, for when it comes back." in removed.stderr.decode()
    assert listed(command)["mobileviclip-tiny"] == "available"
    assert {path.name for path in (own_home / "models").iterdir()} == {".install.lock", ".levels"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["info", "mobileviclip-small"], 5, "weights of mobileviclip-small are not on this machine"),
        (["info", "x"], 5, "no model is called 'x'"),
        (["add", "mobileviclip-small", "--from", "/no/such"], 5, "there is no /no/such"),
        (["add", "mobileviclip-nano", "--from", "."], 5, "comes with vidsearch and cannot be replaced"),
        (["remove", "mobileviclip-nano"], 5, "comes with vidsearch and cannot be removed"),
        (["remove", "mobileclip-s0"], 5, "weights of mobileclip-s0 are not on this machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_done_is_said(arguments: list[str], code: int, words: str, command: RunVidsearch) -> None:
    done = command("models", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr.decode()
    sentences = [line for line in done.stderr.decode().splitlines() if not line.startswith("  ")]  # ways are indented
    assert len(sentences) <= 2  # one, perhaps after what was begun


def test_a_damaged_model_is_listed_as_such(own_home: Path, command: RunVidsearch) -> None:
    (own_home / "models" / "mobileclip-s2").mkdir(parents=True)
    assert listed(command)["mobileclip-s2"] == "damaged"
    assert command("models", "remove", "mobileclip-s2").returncode == 0


def test_the_doctor_finds_nothing_wrong(clips_library: Path, vidsearch: RunVidsearch) -> None:
    done = vidsearch("doctor")
    assert done.returncode == 0, done.stdout.decode()
    lines = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [line[:2] for line in lines] == [
        ["ok", "decoders"],
        ["ok", "model mobileviclip-nano"],
        ["ok", "model mobilevideogpt-nano"],
        ["ok", "device"],
        ["ok", "runtime"],
        *([] if installed("hnswlib") else [["-", "hnswlib"]]),
        ["ok", "library"],
    ]
    assert "6 of 6 coloured discs" in lines[1][2]
    assert re.fullmatch(
        r"torch .+ ms, ONNX Runtime float32 \S+ ms a clip of mobileviclip-nano; index uses .+", lines[4][2]
    )
    assert len(list((clips_library / "cache" / "measured").glob("runtime-*.json"))) == 1
    assert not (clips_library / "models" / "exports").exists()


@pytest.mark.slow
def test_the_doctor_names_a_broken_library_and_a_broken_model(
    clips_library: Path, small_tiny: ModelFolder, vidsearch: RunVidsearch
) -> None:
    with closing(sqlite3.connect(clips_library / "library.sqlite3")) as connection, connection:
        connection.execute("UPDATE embeddings SET vectors = zeroblob(length(vectors)) WHERE id = 1")
    checked = vidsearch("check", "--json")
    assert checked.returncode == 4
    problems = json.loads(checked.stdout)["problems"]
    assert len(problems) == 1 and "the vectors are damaged" in problems[0]
    assert vidsearch("doctor").returncode == 4

    assert vidsearch("models", "add", "mobileviclip-tiny", "--from", small_tiny.path).returncode == 0
    (clips_library / "models" / "mobileviclip-tiny" / "text.onnx").write_bytes(b"")
    done = vidsearch("doctor", "--json")
    assert done.returncode == 5
    wrong = [check for check in json.loads(done.stdout)["checks"] if check["ok"] is False]
    assert [check["part"] for check in wrong] == ["model mobileviclip-tiny", "library"]
    assert "text.onnx has changed" in wrong[0]["note"]


def test_a_library_is_checked_and_rebuilt(clips_library: Path, command: RunVidsearch) -> None:
    assert command("check").stderr == b"The library is whole.\n"
    before = command("query", "a red square", "--json").stdout
    assert b"Rebuilt: " in command("rebuild").stderr
    assert command("query", "a red square", "--json").stdout == before
    assert command("check").returncode == 0
