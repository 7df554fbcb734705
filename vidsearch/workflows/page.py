"""Hits ─▶ one HTML file: a picture of each moment, playback from its start, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from vidsearch.errors import VideoError
from vidsearch.records import Hit
from vidsearch.timecode import clock
from vidsearch.video.jpeg import from_jpeg
from vidsearch.video.thumbnails import Thumbnails
from vidsearch.workflows.relevance import match_level

if TYPE_CHECKING:
    from vidsearch.workflows.relevance import Levels

log = logging.getLogger(__name__)

# Beside what the web application shows as well (look.css).
STYLE = """
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.35rem; font-weight: 650 }
.card video, .missing { display: block; width: 100%; border-radius: var(--round); background: var(--line) }
.missing { display: grid; place-items: center }
"""
_BARS = '<span class="level level-{0}" aria-hidden="true"><i></i><i></i><i></i></span>'


def result_page(query: str, hits: Sequence[Hit], levels: Levels = None) -> str:
    """The page as text; `levels` are those of the model. A video that cannot be opened now keeps its line alone."""
    with Thumbnails() as thumbnails:
        items = "\n".join(_item(hit, levels, thumbnails) for hit in hits) or "<li>Nothing found.</li>"
    look = files("vidsearch.workflows").joinpath("look.css").read_text(encoding="utf-8")
    title = html.escape(query)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title} - vidsearch</title>\n<style>{look}{STYLE}</style>\n</head>\n<body>\n"
        f'<h1>“{title}”</h1>\n<ol class="grid">\n{items}\n</ol>\n</body>\n</html>\n'
    )


def _item(hit: Hit, levels: Levels, thumbnails: Thumbnails) -> str:
    shown_path = html.escape(_readable(str(hit.path)))
    level = match_level(hit.level_score, levels)
    match = f"score {hit.score:.3f}" if level is None else f"{_BARS.format(level)} match {level} ({hit.score:.3f})"
    facts = f"{clock(hit.start_s)} - {clock(hit.end_s)} · {match} · {html.escape(hit.model)}"
    return (
        f'<li class="card">{_picture(hit, thumbnails)}<div class="name" title="{shown_path}">{hit.number}. '
        f'{html.escape(_readable(hit.path.name))}</div><div class="facts">{facts}</div></li>'
    )


def _picture(hit: Hit, thumbnails: Thumbnails) -> str:
    try:
        picture = thumbnails.poster(hit.path, hit.start_s, hit.end_s, hit.best_s)
    except VideoError as error:
        log.info("no picture for %s: %s", hit.path, error)
        why = "offline" if error.kind == "vanished" else "no picture"
        return f'<div class="missing" style="aspect-ratio: 16/9">{why}</div>'
    poster = base64.b64encode(picture).decode()
    height_px, width_px, _ = from_jpeg(picture).shape
    source = f"{hit.path.as_uri()}#t={hit.start_s:.3f},{hit.end_s:.3f}"
    return (
        f'<video controls preload="none" style="aspect-ratio: {width_px}/{height_px}" '
        f'poster="data:image/jpeg;base64,{poster}" src="{html.escape(source)}"></video>'
    )


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
