"""The vectors of the classes that ship are those of today's texts and encoder, or they are not used."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from vidsearch.models.conse.classes import CLASS_VECTORS, CLASSES
from vidsearch.models.conse.config import SENTENCE_DIM
from vidsearch.models.conversion.class_vectors import shipped_class_vectors


def test_what_ships_is_of_todays_texts_and_encoder() -> None:
    shipped = shipped_class_vectors()
    assert shipped is not None  # else: python -m vidsearch.models.conversion.class_vectors
    vectors, centre = shipped["class_vectors"], shipped["centre"]
    assert (vectors.shape, centre.shape) == ((CLASSES, SENTENCE_DIM), (SENTENCE_DIM,))
    torch.testing.assert_close((vectors + centre).norm(dim=1), torch.ones(CLASSES))
    torch.testing.assert_close(vectors.mean(0), torch.zeros(SENTENCE_DIM), atol=1e-6, rtol=0)


def test_vectors_of_other_texts_are_not_used(tmp_path: Path) -> None:
    other = tmp_path / "class_vectors.safetensors"
    save_file(load_file(CLASS_VECTORS), other, metadata={"made_of": "other texts"})
    assert shipped_class_vectors(other) is None
    save_file(load_file(CLASS_VECTORS), other)
    assert shipped_class_vectors(other) is None
