"""The page of results, where a video cannot be shown now."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidsearch.records import Hit
from vidsearch.workflows.page import result_page


@pytest.mark.parametrize(("content", "why"), [(None, "offline"), (b"no video at all", "no picture")])
def test_a_card_without_a_picture_says_why(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    page = result_page("a dog", [Hit(1, path, 0.0, 8.0, 4.0, 0.5, "model")])
    assert f'aspect-ratio: 16/9">{why}</div>' in page
    assert "1. film.mp4" in page and "<video" not in page
