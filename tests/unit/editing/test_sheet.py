"""Contact sheets: each moment has its picture in its place; pages of a PDF; what has no picture is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_samples import make_colour_video

from vidsearch.editing.sheet import make_sheet
from vidsearch.errors import VidsearchError
from vidsearch.records import Hit


def hits_of(path: Path, count: int = 3) -> list[Hit]:
    """Moments of a second each: red, green, blue, red, …"""
    return [Hit(n + 1, path, n % 3, n % 3 + 1.0, n % 3 + 0.5, 0.5, "model") for n in range(count)]


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    return make_colour_video(folder / "an odd 日本 name\n.mp4", ("red", 1.0), ("green", 1.0), ("blue", 1.0))


def test_each_moment_has_its_picture_in_its_place(colours: Path, tmp_path: Path) -> None:
    assert make_sheet(hits_of(colours), "a title", tmp_path / "s.png", columns=3) == []
    with Image.open(tmp_path / "s.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    row = 400  # through the middle of the pictures
    for place, channel in enumerate((0, 1, 2)):
        middle = round(sheet.width * (place + 0.5) / 3)
        assert pixels[row, middle].argmax() == channel
        assert pixels[row, middle].max() > 200 > 60 > np.sort(pixels[row, middle])[1]
    below = pixels[620:]  # the captions
    assert (below < 120).any(axis=2).sum() > 500


def test_a_pdf_has_as_many_pages_as_it_needs(colours: Path, tmp_path: Path) -> None:
    make_sheet(hits_of(colours, 13), "a title", tmp_path / "s.pdf", columns=3)
    data = (tmp_path / "s.pdf").read_bytes()
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", data)) == 3  # two rows a page
    with pytest.raises(VidsearchError, match="would be overwritten"):
        make_sheet(hits_of(colours), "a title", tmp_path / "s.pdf")
    assert (tmp_path / "s.pdf").read_bytes() == data


def test_what_has_no_picture_is_said_and_keeps_its_place(colours: Path, tmp_path: Path) -> None:
    gone = Hit(9, tmp_path / "gone.mp4", 0.0, 1.0, 0.5, 0.5, "model")
    [problem] = make_sheet([gone, *hits_of(colours, 1)], "t", tmp_path / "s.png", columns=2)
    assert "gone.mp4 is not there now; plug its disk in" in problem
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.convert("RGB").getpixel((600, 500)) == (225, 225, 225)


def test_another_kind_of_file_is_refused(colours: Path, tmp_path: Path) -> None:
    with pytest.raises(VidsearchError, match=r"is to end with \.png or \.pdf"):
        make_sheet(hits_of(colours), "t", tmp_path / "s.gif")
    with pytest.raises(VidsearchError, match=r"make a \.pdf"):
        make_sheet(hits_of(colours, 2000), "t", tmp_path / "s.png", columns=1)
    with pytest.raises(VidsearchError, match="cannot be written"):
        (tmp_path / "file").touch()
        make_sheet(hits_of(colours), "t", tmp_path / "file" / "s.png")
