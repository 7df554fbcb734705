"""What a library keeps between queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import CLIPS

from vidsearch.serving import warm as warm_module
from vidsearch.serving.warm import warm
from vidsearch.store.library import Library

MODEL = "mobileviclip-nano"
STAR, SQUARE = CLIPS / "yellow-star-bounces.mp4", CLIPS / "red-square-left.mp4"


def test_vectors_are_kept_until_they_are_too_many_or_too_old(
    indexed_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(indexed_clips, create=False) as library:
        kept = warm(library)
        first = kept.window_vectors(STAR, model=MODEL)
        assert first is not None and kept.window_vectors(STAR, model=MODEL) is first
        assert (first.vectors == library.window_vectors(STAR, model=MODEL).vectors).all()  # type: ignore[union-attr]
        assert kept.window_vectors(STAR, model="another") is None
        monkeypatch.setattr(warm_module, "MOST_BYTES", first.vectors.nbytes)
        kept.window_vectors(SQUARE, model=MODEL)
        assert kept.window_vectors(STAR, model=MODEL) is not first
        second = kept.window_vectors(STAR, model=MODEL)
        monkeypatch.setattr(warm_module, "KEPT_S", 0.0)
        assert kept.window_vectors(STAR, model=MODEL) is not second
        assert kept.roots() == library.roots()
