"""Small text encoders in numpy give the vectors of torch and of ONNX Runtime."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from seeded import TEXT, TEXT_PRUNED, seeded, small_config

from vidsearch.embedding.onnx_text import OnnxTextEncoder
from vidsearch.embedding.text_embedder import ModelTextEmbedder
from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import BUNDLED_DIR, ModelFolder, open_folder
from vidsearch.models.mobileviclip.config import CONFIGS, TextConfig
from vidsearch.models.mobileviclip.numpy_text import (
    MOST_WEIGHTS,
    NumpyTextEncoder,
    erf,
    is_small,
    small_text_encoder,
)
from vidsearch.models.mobileviclip.tokenizer import tokenize

NANO = BUNDLED_DIR / "mobileviclip-nano"
SENTENCES = 400
TEXTS = ["", "a red circle moves to the left", "word " * 200, "nine words make a row that a context of 16 cuts " * 2]


def small_encoder(folder: ModelFolder) -> NumpyTextEncoder:
    encoder = small_text_encoder(folder)
    assert encoder is not None
    return encoder


def sentences(count: int) -> list[str]:
    """From no word to more than the model reads, of words that it knows and of others."""
    random = np.random.default_rng(0)
    known = ["a", "the", "red", "green", "blue", "circle", "square", "star", "moves", "grows", "to", "left", "right"]
    words = [*known, "elephant,", "it's", "naïve", "7", "don't!"]
    return [" ".join(random.choice(words, random.integers(0, 60))) for _ in range(count)]


def test_vectors_of_the_bundled_model_equal_onnx_runtime() -> None:
    folder = open_folder(NANO)
    texts = sentences(SENTENCES)
    expected = ModelTextEmbedder(folder, OnnxTextEncoder(folder)).embed(texts)
    got = ModelTextEmbedder(folder, small_encoder(folder)).embed(texts)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert np.abs(expected[:-1] - expected[1:]).max(1).min() > 1e-2  # the sentences differ


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("text", [TEXT, TEXT_PRUNED, replace(TEXT, layers=0)], ids=["all", "pruned", "no-layers"])
def test_vectors_equal_torch(text: TextConfig, dtype: str, tmp_path: Path) -> None:
    network = seeded(small_config("mobileclip-s0", text))
    if dtype == "float16":  # matrices that half precision holds exactly, so that both have the same
        for parameter in network.text_encoder.parameters():
            if parameter.ndim > 1:
                parameter.data = parameter.data.half().float()
    folder = write_model_folder(network, tmp_path / "mobileclip-s0", provenance={}, dtype=dtype)  # type: ignore[arg-type]
    ids = tokenize(TEXTS)
    with torch.no_grad():
        expected = network.encode_text(ids).numpy()
    got = small_encoder(folder).encode({"ids": ids})
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)  # float32 in another order


def test_only_small_encoders_without_convolutions_run_in_numpy() -> None:
    assert {name for name, config in CONFIGS.items() if is_small(config.text)} == {"mobileviclip-nano"}
    assert not is_small(replace(TEXT, conv_blocks=1))
    just = replace(TEXT, width=128, ffn_width=128, heads=4, layers=MOST_WEIGHTS // (6 * 128**2))
    assert is_small(just) and not is_small(replace(just, layers=just.layers + 1))


def test_the_error_function() -> None:
    x = np.linspace(-6, 6, 10_001, dtype=np.float32)
    np.testing.assert_allclose(erf(x), [math.erf(value) for value in x], rtol=0, atol=5e-7)


def copied(tmp_path: Path, change: str, value: float | None) -> ModelFolder:
    """The bundled model with one weight filled with a value, or left out."""
    folder = open_folder(NANO)
    weights = load_file(folder.weights)
    if value is None:
        del weights[change]
    else:
        weights[change] = np.full_like(weights[change], value)
    save_file(weights, tmp_path / "model.safetensors")
    return replace(folder, path=tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    folder = copied(tmp_path, "text_encoder.projection_layer", value)
    with pytest.raises(
        ModelError, match=r"model\.safetensors gives no usable vectors; install mobileviclip-nano again"
    ):
        ModelTextEmbedder(folder, small_encoder(folder)).embed(["a red circle"])


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    folder = copied(tmp_path, "text_encoder.projection_layer", None)
    with pytest.raises(ModelError, match=r"model\.safetensors does not fit mobileviclip-nano: missing: projection_lay"):
        small_text_encoder(folder)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = open_folder(NANO)
    (tmp_path / "model.safetensors").write_bytes(folder.weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        small_text_encoder(replace(folder, path=tmp_path))
