"""Hits → a contact sheet: their pictures with number, time and name, as editors print them. Needs the extra `edit`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from vidsearch.editing.export import writing
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.records import Hit
from vidsearch.timecode import clock
from vidsearch.video.messages import shown
from vidsearch.video.thumbnails import LARGEST_SIDE_PX, Thumbnails

_PAGE_PX = (2339, 1654)  # A4, landscape, 200 dots an inch
_DPI = 200
_MARGIN_PX, _GAP_PX, _TITLE_PX, _TEXT_PX = 90, 36, 44, 26
_INK, _FAINT, _PAPER, _EMPTY = (20, 20, 20), (100, 100, 100), (255, 255, 255), (225, 225, 225)
_TALLEST_PX = 60_000  # of one picture: more than this no program opens
# Fonts that most systems have one of; the one that comes with Pillow knows Latin letters alone.
_FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "NotoSansArabic-Regular.ttf",
    "Arial Unicode.ttf", "PingFang.ttc", "Arial.ttf", "segoeui.ttf", "msgothic.ttc",
)  # fmt: skip

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class _Cell:
    """What one hit takes of the sheet."""

    width_px: int
    picture_px: int  # height of the place for the picture

    @property
    def height_px(self) -> int:
        return self.picture_px + round(2.7 * _TEXT_PX)


def make_sheet(
    hits: Sequence[Hit], title: str, target: Path, *, columns: int = 4, jobs: int = 1, overwrite: bool = False
) -> list[str]:
    """Writes the sheet, .png in one piece or .pdf in pages; gives a sentence for each video that has no picture.

    Raises VidsearchError for another suffix, if the file is there already, cannot be written or would be too tall.
    """
    if target.suffix.lower() not in (".png", ".pdf"):
        raise VidsearchError(f"{shown(target)} is to end with .png or .pdf.")
    if target.exists() and not overwrite:
        raise VidsearchError(f"{shown(target)} would be overwritten; choose another name, or allow it with --force.")
    width = (_PAGE_PX[0] - 2 * _MARGIN_PX - (columns - 1) * _GAP_PX) // columns
    cell = _Cell(width, round(width * 9 / 16))
    rows = -(-len(hits) // columns)
    is_pdf = target.suffix.lower() == ".pdf"
    top = _MARGIN_PX + 2 * _TITLE_PX
    page_rows = max(1, (_PAGE_PX[1] - top - _MARGIN_PX) // (cell.height_px + _GAP_PX)) if is_pdf else rows
    if not is_pdf and top + rows * (cell.height_px + _GAP_PX) > _TALLEST_PX:
        raise VidsearchError(f"{len(hits)} pictures make a .png that no program opens; make a .pdf.")
    with Thumbnails(jobs=jobs) as thumbnails, ThreadPoolExecutor(jobs) as threads:
        pictures = list(threads.map(partial(_picture, thumbnails), hits))
    pages = list(_pages(hits, pictures, title, cell, columns, page_rows, is_pdf=is_pdf))
    data = io.BytesIO()
    if is_pdf:
        pages[0].save(data, "PDF", save_all=True, append_images=pages[1:], resolution=_DPI, title=title)
    else:
        pages[0].save(data, "PNG", optimize=True)
    with writing(target) as unfinished:
        unfinished.write_bytes(data.getvalue())
    return [str(picture) for picture in pictures if isinstance(picture, VideoError)]


def _picture(thumbnails: Thumbnails, hit: Hit) -> bytes | VideoError:
    """The JPEG of a moment, or why there is none."""
    try:
        return thumbnails.poster(hit.path, hit.start_s, hit.end_s, hit.best_s, LARGEST_SIDE_PX)
    except VideoError as error:
        return error


def _pages(
    hits: Sequence[Hit],
    pictures: Sequence[bytes | VideoError],
    title: str,
    cell: _Cell,
    columns: int,
    page_rows: int,
    *,
    is_pdf: bool,
) -> Iterator[Image.Image]:
    each = columns * page_rows
    top = _MARGIN_PX + 2 * _TITLE_PX
    height = _PAGE_PX[1] if is_pdf else top + page_rows * (cell.height_px + _GAP_PX) + _MARGIN_PX - _GAP_PX
    for start in range(0, len(hits), each):
        page = Image.new("RGB", (_PAGE_PX[0], height), _PAPER)
        draw = ImageDraw.Draw(page)
        number = f"  ({start // each + 1} / {-(-len(hits) // each)})" if len(hits) > each else ""
        _write(draw, (_MARGIN_PX, _MARGIN_PX), title + number, _TITLE_PX, _INK, _PAGE_PX[0] - 2 * _MARGIN_PX)
        for place, hit in enumerate(hits[start : start + each]):
            left = _MARGIN_PX + place % columns * (cell.width_px + _GAP_PX)
            upper = top + place // columns * (cell.height_px + _GAP_PX)
            _put_picture(page, pictures[start + place], (left, upper), cell)
            score = f"  {hit.score:.3f}" if hit.model else ""
            text = f"{hit.number}   {clock(hit.start_s)} - {clock(hit.end_s)}{score}"
            below = upper + cell.picture_px + round(0.3 * _TEXT_PX)
            _write(draw, (left, below), text, _TEXT_PX, _INK, cell.width_px)
            name = "".join(sign if sign.isprintable() else "_" for sign in shown(Path(hit.path.name)))
            _write(draw, (left, below + round(1.2 * _TEXT_PX)), name, _TEXT_PX, _FAINT, cell.width_px)
        yield page


def _put_picture(page: Image.Image, data: bytes | VideoError, at: tuple[int, int], cell: _Cell) -> None:
    """The picture in the middle of its place, whole; the place is grey where there is none."""
    draw = ImageDraw.Draw(page)
    draw.rectangle((*at, at[0] + cell.width_px - 1, at[1] + cell.picture_px - 1), fill=_EMPTY)
    if isinstance(data, VideoError):
        return
    with Image.open(io.BytesIO(data)) as picture:
        scale = min(cell.width_px / picture.width, cell.picture_px / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        scaled = picture.resize(size, Image.Resampling.LANCZOS)
    page.paste(scaled, (at[0] + (cell.width_px - size[0]) // 2, at[1] + (cell.picture_px - size[1]) // 2))


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size_px: int, ink: tuple[int, int, int], most_px: int
) -> None:
    """A line of text, shortened in its middle to a width."""
    font = _font_for(text, size_px)
    whole = text
    keep = len(text)
    while draw.textlength(text, font=font) > most_px and keep > 4:
        keep = min(keep - 1, int(keep * most_px / draw.textlength(text, font=font)) + 1)
        text = f"{whole[: keep // 2]}…{whole[len(whole) - (keep - keep // 2) :]}"
    draw.text(at, text, fill=ink, font=font)


def _font_for(text: str, size_px: int) -> Font:
    """The first font that has all the letters of a text, else the first that is there."""
    first: Font | None = None
    for name in _FONTS:
        try:
            font = ImageFont.truetype(name, size_px)
        except OSError:
            continue
        first = first or font
        missing = bytes(font.getmask("\U0010ffff"))
        if not any(bytes(font.getmask(sign)) == missing for sign in set(text) if not sign.isspace()):
            return font
    return first or ImageFont.load_default(size_px)
