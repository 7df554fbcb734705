"""Words → vectors without torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from seeded import TEXT_PRUNED, seeded, small_config

from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.embedding.onnx_text import OnnxTextEncoder
from vidsearch.embedding.text_embedder import ModelTextEmbedder
from vidsearch.errors import ModelError
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import ModelFolder
from vidsearch.models.interface import BATCH_TEXTS, TextEncoder
from vidsearch.models.mobileviclip.load import Network
from vidsearch.models.mobileviclip.numpy_text import small_text_encoder
from vidsearch.models.mobileviclip.tokenizer import pre_text, token_ids, tokenize

MODELS_WITHOUT_TORCH = """
import sys
from pathlib import Path
from vidsearch.embedding.embedder import open_text_embedder
embedder = open_text_embedder(sys.argv[1], models_dir=Path(sys.argv[2]))
print(embedder.embed([sys.argv[3]])[0].tolist())
print(embedder.unknown_words(sys.argv[3]))
heavy = {"torch", "onnx", "decord", "hnswlib", "typer"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def pruned() -> Network:
    """A network that knows the words red, circle and moves, and no other."""
    network = seeded(small_config("mobileviclip-tiny", TEXT_PRUNED))
    rows = network.text_encoder.embedding_row.zero_()
    for row, token in enumerate(token_ids("red circle moves"), start=1):
        rows[token] = row
    return network


@pytest.fixture(scope="module")
def folder(pruned: Network, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    models_dir = tmp_path_factory.mktemp("models")
    return write_model_folder(pruned, models_dir / "mobileviclip-tiny", provenance={})


def test_vectors_equal_torch_with_captions_simplified(pruned: Network, folder: ModelFolder) -> None:
    texts = ["A red circle, moves!", "", "circle"]
    with torch.no_grad():
        expected = pruned.encode_text(tokenize([pre_text(text) for text in texts])).numpy()
    embedder = open_text_embedder("mobileviclip-tiny", models_dir=folder.path.parent)
    got = embedder.embed(texts)
    assert (embedder.model, embedder.dim, got.dtype) == ("mobileviclip-tiny", 48, np.float32)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=0, atol=1e-6)


def test_simplifying_can_be_left_out(pruned: Network, folder: ModelFolder) -> None:
    with torch.no_grad():
        expected = pruned.encode_text(tokenize(["red, circle"])).numpy()
    plain = open_text_embedder("mobileviclip-tiny", models_dir=folder.path.parent, simplify=False)
    simple = open_text_embedder("mobileviclip-tiny", models_dir=folder.path.parent)
    np.testing.assert_allclose(plain.embed(["red, circle"]), expected, rtol=0, atol=1e-6)
    assert np.abs(simple.embed(["red, circle"]) - expected).max() > 1e-3


@pytest.mark.parametrize("opened", [OnnxTextEncoder, small_text_encoder], ids=["onnx", "numpy"])
def test_no_text_and_more_texts_than_a_batch(
    opened: Callable[[ModelFolder], TextEncoder | None], folder: ModelFolder
) -> None:
    encoder = opened(folder)
    assert encoder is not None
    embedder = ModelTextEmbedder(folder, encoder)
    assert embedder.embed([]).shape == (0, 48)
    texts = [f"red circle {number}" for number in range(BATCH_TEXTS + 3)]
    one_by_one = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(embedder.embed(texts), one_by_one, rtol=0, atol=1e-6)


def test_a_text_in_the_place_of_a_list_is_a_mistake(folder: ModelFolder) -> None:
    with pytest.raises(TypeError, match=r"texts are a list: embed\(\['red'\]\)"):
        ModelTextEmbedder(folder, OnnxTextEncoder(folder)).embed("red")


def test_words_that_the_model_does_not_know_are_named(folder: ModelFolder) -> None:
    embedder = ModelTextEmbedder(folder, OnnxTextEncoder(folder))
    assert embedder.unknown_words("A red elephant moves, quickly!") == ["a", "elephant", "quickly"]
    assert embedder.unknown_words("red circle") == []
    assert embedder.knows_none_of("a quick elephant")
    assert not embedder.knows_none_of("a red elephant") and not embedder.knows_none_of("")


def test_a_model_with_the_full_vocabulary_knows_every_word(tmp_path: Path) -> None:
    network = seeded(small_config("mobileclip-s0"))
    folder = write_model_folder(network, tmp_path / "mobileclip-s0", provenance={})
    embedder = ModelTextEmbedder(folder, OnnxTextEncoder(folder))
    assert embedder.unknown_words("xyzzy elephant") == []
    with torch.no_grad():  # and MobileCLIP's texts are not simplified
        expected = network.encode_text(tokenize(["Red, circle!"])).numpy()
    np.testing.assert_allclose(embedder.embed(["Red, circle!"]), expected, rtol=0, atol=1e-6)


def test_a_fresh_process_embeds_words_without_torch(pruned: Network, folder: ModelFolder) -> None:
    open_text_embedder("mobileviclip-tiny", models_dir=folder.path.parent)  # the first look at a model reads its graph
    arguments = ["mobileviclip-tiny", str(folder.path.parent), "red elephant"]
    done = subprocess.run(
        [sys.executable, "-c", MODELS_WITHOUT_TORCH, *arguments], capture_output=True, text=True, check=True
    )
    vector, unknown = done.stdout.splitlines()
    with torch.no_grad():
        expected = pruned.encode_text(tokenize(["red elephant"])).numpy()[0]
    np.testing.assert_allclose(np.fromstring(vector.strip("[]"), sep=","), expected, rtol=0, atol=1e-6)
    assert unknown == "['elephant']"


def test_a_large_text_encoder_runs_in_onnx_runtime(tmp_path: Path) -> None:
    network = seeded(small_config("mobileviclip-tiny", replace(TEXT_PRUNED, conv_blocks=1)))
    write_model_folder(network, tmp_path / "mobileviclip-tiny", provenance={})
    with torch.no_grad():
        expected = network.encode_text(tokenize(["red circle"])).numpy()
    embedder = open_text_embedder("mobileviclip-tiny", models_dir=tmp_path)
    assert isinstance(embedder, ModelTextEmbedder) and isinstance(embedder.encoder, OnnxTextEncoder)
    np.testing.assert_allclose(embedder.embed(["red circle"]), expected, rtol=0, atol=1e-6)


def test_a_damaged_text_encoder_is_named(folder: ModelFolder, tmp_path: Path) -> None:
    broken = replace(folder, path=tmp_path)
    broken.text_encoder.write_bytes(folder.text_encoder.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"the text encoder .*text\.onnx cannot be opened"):
        OnnxTextEncoder(broken)


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights of mobileviclip-small are not on this machine"):
        open_text_embedder("mobileviclip-small", models_dir=tmp_path)
