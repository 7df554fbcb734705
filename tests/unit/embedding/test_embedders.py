"""What every clip embedder and text embedder promises, asked of each bundled model that searches."""

from __future__ import annotations

import numpy as np
import pytest

from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.models.folder import BUNDLED_DIR, open_folder

SEARCHING = [path.name for path in sorted(BUNDLED_DIR.iterdir()) if open_folder(path).task == "embedding"]


@pytest.fixture(scope="module", params=SEARCHING)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def clip_embedder(name: str) -> ClipEmbedder:
    return open_clip_embedder(name, device="cpu")


@pytest.fixture(scope="module")
def text_embedder(name: str) -> TextEmbedder:
    return open_text_embedder(name)


def test_both_are_of_one_model_and_one_space(
    name: str, clip_embedder: ClipEmbedder, text_embedder: TextEmbedder
) -> None:
    config = open_folder(BUNDLED_DIR / name).embedding
    assert clip_embedder.model == text_embedder.model == name
    assert clip_embedder.dim == text_embedder.dim == config.embed_dim
    assert clip_embedder.frame_spec == config.preprocessing.frame_spec
    assert clip_embedder.frames == config.preprocessing.frames
    assert clip_embedder.device.startswith("cpu (")


def test_clips_become_vectors_of_unit_length(clip_embedder: ClipEmbedder) -> None:
    side, frames = clip_embedder.frame_spec.side_px, clip_embedder.frames
    clips = np.random.default_rng(0).integers(0, 256, (3, frames, side, side, 3), np.uint8)
    clips[1:] //= 2
    clips[2] = clips[1]
    vectors = clip_embedder.embed(clips)
    assert (vectors.shape, vectors.dtype) == ((3, clip_embedder.dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-5)
    assert vectors[1] @ vectors[2] > 0.9999 > vectors[0] @ vectors[1]
    assert clip_embedder.embed(clips[:0]).shape == (0, clip_embedder.dim)
    with pytest.raises(ValueError, match="takes uint8 clips"):
        clip_embedder.embed(clips[:, :-1])


def test_words_become_vectors_of_unit_length(text_embedder: TextEmbedder) -> None:
    texts = ["a red circle", "", "two dogs run along the beach, then " * 30, "a red circle"]
    vectors = text_embedder.embed(texts)
    assert (vectors.shape, vectors.dtype) == ((4, text_embedder.dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(text_embedder.embed(texts[:1])[0], vectors[0], rtol=0, atol=1e-5)
    assert vectors[0] @ vectors[2] < 0.999
    assert text_embedder.embed([]).shape == (0, text_embedder.dim)


def test_what_is_unknown_is_part_of_what_was_asked(text_embedder: TextEmbedder) -> None:
    assert set(text_embedder.unknown_words("a red circle")) <= {"a", "red", "circle"}
    assert not text_embedder.knows_none_of("a red circle") and not text_embedder.knows_none_of("")
