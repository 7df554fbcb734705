"""Model folders with one field of a JSON file changed: each is refused with a sentence, or works.

    make soak                               or: pytest -m soak tests/soak/test_soak_models.py

Every field of the cards of the bundled models meets values by chance from `changed_fields.STRANGE`; the seed is fixed.
The hashes know the changed file, as those of a folder that somebody made would.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from changed_fields import STRANGE, Place, changed, places

from vidsearch.answering.answerer import open_answerer
from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
from vidsearch.errors import VidsearchError
from vidsearch.models.conversion.mobile.export import export_model
from vidsearch.models.exports import exports_dir
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.hashes import write_hashes

CHANGES = 6  # of each field
MOST = 1000  # of a file
LONGEST = 1000  # letters of a sentence that lists weights which do not fit
CARD = "../exports/mobileviclip-tiny/mobileviclip-tiny-clip-fp32.onnx.json"
NAMES = {"mobileviclip-nano": "mobileviclip-tiny", "mobilevideogpt-nano": "mobilevideogpt-0.5b"}

Open = Callable[[str, Path], object]


def open_search(name: str, models_dir: Path) -> None:
    vectors = open_text_embedder(name, models_dir=models_dir).embed(["a red circle"])
    assert np.isfinite(vectors).all()
    open_clip_embedder(name, models_dir=models_dir)


def open_export(name: str, models_dir: Path) -> None:
    open_clip_embedder(name, models_dir=models_dir, runtime="onnx")


def open_answers(name: str, models_dir: Path) -> None:
    open_answerer(name, models_dir=models_dir)


SEARCH, ANSWERS = ("mobileviclip-nano", open_search), ("mobilevideogpt-nano", open_answers)
FILES = [
    *((*SEARCH, file) for file in ("config.json", "hashes.json", "selftest.json")),
    ("mobileviclip-nano", open_export, CARD),
    *((*ANSWERS, file) for file in ("config.json", "generation_config.json", "tokenizer.json")),
]
CASES = [pytest.param(*file, 10, id=f"10 of {file[0]} {Path(file[2]).name}") for file in FILES] + [
    pytest.param(*file, MOST, marks=[pytest.mark.soak, pytest.mark.timeout(1200)], id=f"{file[0]} {Path(file[2]).name}")
    for file in FILES
]


def fields_of(value: object) -> list[Place]:
    """What is read of a file: the settings of a training are kept as they are, and the tokens are alike."""
    return [place for place in places(value) if not {"settings", "vocab", "merges"} & set(place)]


@pytest.mark.parametrize(("bundled", "opened", "file", "most"), CASES)
def test_a_changed_field_is_refused_with_a_sentence_or_does_no_harm(
    tmp_path: Path, bundled: str, opened: Open, file: str, most: int
) -> None:
    folder = tmp_path / NAMES[bundled]
    shutil.copytree(BUNDLED_DIR / bundled, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": folder.name}))
    write_hashes(folder)
    if file == CARD:
        list(export_model(open_folder(folder), "onnx", ("clip",), "fp32", exports_dir(tmp_path, folder.name)))
    opened(folder.name, tmp_path)
    value = json.loads((folder / file).read_text())
    chance = random.Random(7)
    changes = [(place, new) for place in fields_of(value) for new in chance.sample(STRANGE, CHANGES)]
    refused = 0
    for place, new in chance.sample(changes, min(most, len(changes))):
        (folder / file).write_text(json.dumps(changed(value, place, new)))
        if file not in ("hashes.json", CARD):
            write_hashes(folder)
        try:
            opened(folder.name, tmp_path)
        except VidsearchError as error:
            refused += 1
            assert str(tmp_path) in str(error), (place, new)
            assert len(str(error)) < LONGEST, (place, new)
        except Exception as error:
            raise AssertionError((place, new)) from error
    assert refused or file == "selftest.json"  # a record, which nothing depends on
