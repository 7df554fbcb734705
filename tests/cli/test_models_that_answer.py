"""`vidsearch models` and `doctor` with a model that answers, as a user meets them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import SMALL, byte_tokenizer, publish, seeded_videogpt
from support import RunVidsearch

from vidsearch.models.conversion.install import install
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobilevideogpt.config import CONFIGS

NAME = "mobilevideogpt-0.5b"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFolder]:
    """A model folder from another machine: mobilevideogpt-0.5b at a thousandth of its size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, NAME, SMALL)
        folder = tmp_path_factory.mktemp("brought")
        yield install(NAME, publish(folder / "published", seeded_videogpt()), folder / "models")


def test_a_model_that_answers_is_added_shown_verified_and_examined(
    small: ModelFolder, own_home: Path, vidsearch: RunVidsearch
) -> None:
    added = vidsearch("models", "add", NAME, "--from", small.path)
    assert added.returncode == 0, added.stderr.decode()
    assert b"ok: the same question again: the same answer" in added.stderr

    shown = vidsearch("models", "info", NAME).stdout.decode()
    assert "\n\tlanguage" not in shown  # one line to a fact
    lines = dict(
        line.split("\t", 1) for line in shown.splitlines() if not line.startswith(("file", "note", "self-test"))
    )
    assert lines["input"] == "16 frames of 32 x 32 pixels, and a question"
    assert lines["language"] == "2 layers of 24 values"
    assert lines["vocabulary"] == "272 tokens"
    facts = json.loads(vidsearch("models", "info", NAME, "--json").stdout)
    assert (facts["kind"], facts["origin"]) == ("answers", "installed")
    assert set(facts["parameters"]) == {"language", "clips", "pictures", "projectors"}
    assert [item["ok"] for item in facts["self_test"]] == [True] * 9 + [None]

    listed = json.loads(vidsearch("models", "list", "--json").stdout)["models"]
    assert {model["name"]: model["state"] for model in listed}[NAME] == "installed"
    assert vidsearch("models", "verify", NAME).stdout == f"{NAME}\twhole\n".encode()

    examined = vidsearch("doctor", "--json")
    assert examined.returncode == 0, examined.stdout.decode()
    notes = {check["part"]: check["note"] for check in json.loads(examined.stdout)["checks"]}
    assert notes[f"model {NAME}"].startswith("files whole, self-test passed; first words about a drawn clip: ")


def test_the_doctor_names_a_tokenizer_that_changed(small: ModelFolder, own_home: Path, vidsearch: RunVidsearch) -> None:
    shutil.copytree(small.path, own_home / "models" / NAME)
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(own_home / "models" / NAME / "tokenizer.json"))
    examined = vidsearch("doctor", "--json")
    assert examined.returncode == 5
    wrong = [check for check in json.loads(examined.stdout)["checks"] if check["ok"] is False]
    assert [check["part"] for check in wrong] == [f"model {NAME}"]
    assert "tokenizer.json has changed" in wrong[0]["note"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--half", "--as-stored"], 2, "give --half or --as-stored, not both"),
        (["--folded"], 5, "are those of mobilevideogpt-0.5b; leave out --renames, --folded and --unfolded"),
        (["--renames", "/dev/null"], 5, "there is no file /dev/null"),
        ([], 5, "config.json is of another network: hidden_size is 24, and mobilevideogpt-0.5b has 896"),
    ],
)
def test_what_cannot_be_added_is_said(
    arguments: list[str], code: int, words: str, tmp_path: Path, vidsearch: RunVidsearch
) -> None:
    source = publish(tmp_path / "published", seeded_videogpt())
    done = vidsearch("models", "add", NAME, "--from", source, *arguments, env={"COLUMNS": "300"})
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in done.stderr.decode()


def test_a_model_that_searches_is_not_added_as_stored(tmp_path: Path, vidsearch: RunVidsearch) -> None:
    (tmp_path / "mobileclip_s0.pt").write_bytes(b"")
    done = vidsearch("models", "add", "mobileclip-s0", "--from", tmp_path / "mobileclip_s0.pt", "--as-stored")
    assert done.returncode == 5
    assert b"mobileclip-s0 is stored as float32 or float16; leave out --as-stored" in done.stderr
