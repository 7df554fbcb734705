"""The ONNX text encoder gives torch's vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from seeded import TEXT, TEXT_MCT, TEXT_PRUNED, seeded, small_config

from vidsearch.models.conversion.export import export_text_encoder
from vidsearch.models.mobileviclip.config import TextConfig
from vidsearch.models.mobileviclip.load import Network
from vidsearch.models.mobileviclip.tokenizer import tokenize

TEXTS = ["", "a red circle moves to the left", "word " * 200, "nine words make a row that a context of 16 cuts " * 2]


def exported(network: Network, path: Path) -> Path:
    export_text_encoder(network.reparameterize().text_encoder.state_dict(), network.config.text, path)
    return path


def run(path: Path, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"ids": ids})[0])


@pytest.mark.parametrize("text", [TEXT, TEXT_MCT, TEXT_PRUNED], ids=["transformer", "mct", "pruned-and-cut"])
def test_vectors_equal_torch(tmp_path: Path, text: TextConfig) -> None:
    network = seeded(small_config("mobileclip-s0", text))
    path = exported(network, tmp_path / "text.onnx")
    onnx.checker.check_model(path, full_check=True)
    ids = tokenize(TEXTS)
    with torch.no_grad():
        expected = network.encode_text(ids).numpy()
    got = run(path, ids)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)  # float32 in another order; the issue allows 1e-4
    for row in range(len(TEXTS)):  # any batch gives the same
        np.testing.assert_allclose(run(path, ids[row : row + 1])[0], got[row], rtol=0, atol=1e-6)


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    network = seeded(small_config("mobileclip-s0", TEXT_MCT))
    first, second = exported(network, tmp_path / "a.onnx"), exported(network, tmp_path / "b.onnx")
    assert first.read_bytes() == second.read_bytes()


def test_the_file_holds_no_path_of_this_machine(tmp_path: Path) -> None:
    assert (
        str(Path(__file__).parents[4]).encode()
        not in exported(seeded(small_config("mobileclip-s0")), tmp_path / "a").read_bytes()
    )


def test_a_large_encoders_tensors_lie_beside_it(tmp_path: Path) -> None:
    network = seeded(small_config("mobileclip-s0", replace(TEXT, width=192)))  # a word table of 38 MB
    path = exported(network, tmp_path / "text.onnx")
    assert path.stat().st_size < 1 << 20
    assert path.with_name("text.onnx.data").stat().st_size > 37e6
    ids = tokenize(TEXTS)
    with torch.no_grad():
        np.testing.assert_allclose(run(path, ids), network.encode_text(ids).numpy(), rtol=0, atol=1e-6)
