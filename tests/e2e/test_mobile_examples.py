"""The examples for phones' runtimes, run as a user runs them: the cosines of the program itself."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from support import CLIPS, REPOSITORY, environment

from vidsearch.models.conversion.mobile.export import export_model
from vidsearch.models.exports import TowerName
from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobileviclip.load import load_network
from vidsearch.models.mobileviclip.tokenizer import pre_text, tokenize

NANO = open_folder(BUNDLED_DIR / "mobileviclip-nano")
MOBILE = REPOSITORY / "examples" / "mobile"
VIDEO = CLIPS / "red-square-left.mp4"
BOTH: tuple[TowerName, ...] = ("clip", "text")


def contract_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("contract_of_examples", MOBILE / "contract.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cosine_of(script: str, folder: Path, sentence: str) -> float:
    command = [sys.executable, MOBILE / script, folder, NANO.name, VIDEO, sentence]
    done = subprocess.run(command, env=environment(None), capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return float(done.stdout)


def test_onnxruntime_tells_right_from_wrong_words(tmp_path: Path) -> None:
    list(export_model(NANO, "onnx", BOTH, "fp32", tmp_path))
    right = cosine_of("with_onnxruntime.py", tmp_path, "A red square moves to the left.")
    wrong = cosine_of("with_onnxruntime.py", tmp_path, "a blue heart grows")
    assert right > wrong + 0.2

    example = contract_module()
    contract = example.read_contract(tmp_path / "mobileviclip-nano-text-fp32.onnx")
    tokenizer = example.Tokenizer(tmp_path, contract)
    for text in (
        "a red square moves to the left",
        "Two GREEN triangles, then 3 purple circles!",
        "antidisestablishment",
    ):
        row = tokenize([pre_text(text)])[0]
        assert tokenizer.ids(text) == row[: int(row.argmax()) + 1].tolist()
    rows, end = example.rows_and_end(tokenizer, "a red square", tmp_path, contract)
    assert rows.shape == (1, 40) and rows.max() < 248 and int(end.argmax()) == 4 and np.sum(end) == 1


@pytest.mark.slow
def test_executorch_tells_right_from_wrong_words(tmp_path: Path) -> None:
    pytest.importorskip("executorch", reason="the extra mobile is not installed")
    list(export_model(NANO, "executorch", BOTH, "fp32", tmp_path))
    right = cosine_of("with_executorch.py", tmp_path, "a red square moves to the left")
    assert right > cosine_of("with_executorch.py", tmp_path, "a blue heart grows") + 0.2


def test_litert_tells_right_from_wrong_words(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="the extra litert is not installed; make test-litert has it")
    list(export_model(NANO, "litert", BOTH, "fp32", tmp_path))
    right = cosine_of("with_litert.py", tmp_path, "a red square moves to the left")
    assert right > cosine_of("with_litert.py", tmp_path, "a blue heart grows") + 0.2


def test_the_phrases_of_the_apps_come_with_their_vectors() -> None:
    command = [sys.executable, MOBILE / "phrases.py", NANO.name]
    done = subprocess.run(command, env=environment(None), capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()
    rows = json.loads(done.stdout)
    assert len({row["phrase"] for row in rows}) == 10
    vectors = np.array([row["vector"] for row in rows])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    tokens = tokenize([pre_text(rows[0]["phrase"])])
    expected = load_network(NANO, "inference").encode_text(tokens).detach().numpy()
    np.testing.assert_allclose(vectors[:1], expected, atol=1e-5)


def test_what_was_never_run_says_so() -> None:
    for source, words in (
        ("ios/NearestPhrase.swift", "WRITTEN, NEVER COMPILED"),
        ("android/NearestPhrase.kt", "NEVER BUILT FOR A PHONE, NEVER RUN"),
    ):
        assert words in (MOBILE / source).read_text(encoding="utf-8")
