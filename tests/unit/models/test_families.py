"""The table of families: every part that it names is there, and light ones stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.families import FAMILIES, Family
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.registry import KNOWN_MODELS
from vidsearch.records import FrameSpec

FAMILY = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
BUNDLED = sorted(path.name for path in BUNDLED_DIR.iterdir())


@FAMILY
def test_every_part_of_a_family_can_be_imported(family: Family) -> None:
    for name in family.parts.named():
        assert callable(family.part(name))


@FAMILY
def test_a_family_has_the_parts_that_its_task_needs(family: Family) -> None:
    embeds = {"clip_encoder", "query_tokenizer"}
    assert (embeds & set(family.parts.named())) == (embeds if family.task == "embedding" else set())
    assert {"float32", "float16"} <= set(family.dtypes)


def test_every_family_has_a_published_model() -> None:
    assert {known.family for known in KNOWN_MODELS.values()} == set(FAMILIES)


def test_a_part_of_another_task_is_refused() -> None:
    with pytest.raises(ModelError, match="models of the family mobilevideogpt have no clip encoder"):
        FAMILIES["mobilevideogpt"].part("clip_encoder")


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_is_described_by_its_family(name: str) -> None:
    folder = open_folder(BUNDLED_DIR / name)
    assert folder.family.name == KNOWN_MODELS[name].family
    assert folder.family.config(folder.network)
    rows = dict(folder.family.summary(folder.network))
    assert "64 x 64 pixels" in rows["input"]


def test_preprocessing_is_known_without_torch() -> None:
    code = """
import json, sys
from vidsearch.models.folder import BUNDLED_DIR, open_folder
folder = open_folder(BUNDLED_DIR / "mobileviclip-nano")
spec, frames = folder.embedding.preprocessing.frame_spec, folder.embedding.preprocessing.frames
folder.family.query_tokenizer(folder, simplify=True)(["a word"])
print(json.dumps([spec.side_px, spec.fit, frames, folder.embedding.embed_dim, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [64, "squash", 8, 192, False]
    assert open_folder(Path(BUNDLED_DIR / "mobileviclip-nano")).embedding.preprocessing.frame_spec == FrameSpec(64)
