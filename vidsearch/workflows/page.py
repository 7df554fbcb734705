"""Hits ─▶ one HTML file: a picture of each moment, playback from its start, nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Sequence

from vidsearch.errors import VideoError
from vidsearch.records import FrameSpec, Hit
from vidsearch.timecode import clock
from vidsearch.video.reader import open_reader
from vidsearch.video.thumbnail import to_jpeg

log = logging.getLogger(__name__)

THUMBNAIL = FrameSpec(side_px=320)

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem }
h1 { font-size: 1.3rem; font-weight: 600 }
ol { list-style: none; padding: 0; display: grid; gap: 1.5rem;
     grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)) }
video, .missing { width: 100%; background: #8883; border-radius: 6px; display: grid; place-items: center }
.name { font-weight: 600; overflow-wrap: anywhere }
.facts { opacity: .75; font-variant-numeric: tabular-nums }
"""


def result_page(query: str, hits: Sequence[Hit]) -> str:
    """The page as text. A video that cannot be opened now keeps its line, without a picture."""
    items = "\n".join(_item(hit) for hit in hits) or "<li>Nothing found.</li>"
    title = html.escape(query)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title} - vidsearch</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>“{title}”</h1>\n<ol>\n{items}\n</ol>\n</body>\n</html>\n"
    )


def _item(hit: Hit) -> str:
    shown_path = html.escape(_readable(str(hit.path)))
    facts = f"{clock(hit.start_s)} - {clock(hit.end_s)} · score {hit.score:.3f} · {html.escape(hit.model)}"
    return (
        f'<li>{_picture(hit)}<div class="name" title="{shown_path}">{hit.number}. '
        f'{html.escape(_readable(hit.path.name))}</div><div class="facts">{facts}</div></li>'
    )


def _picture(hit: Hit) -> str:
    try:
        with open_reader(hit.path, THUMBNAIL) as reader:
            [frame] = reader.frames_at([hit.best_s])
            facts = reader.facts
    except VideoError as error:
        log.info("no picture for %s: %s", hit.path, error)
        return '<div class="missing" style="aspect-ratio: 16/9">offline</div>'
    poster = base64.b64encode(to_jpeg(frame)).decode()
    source = f"{hit.path.as_uri()}#t={hit.start_s:.3f},{hit.end_s:.3f}"
    return (
        f'<video controls preload="none" style="aspect-ratio: {facts.width_px}/{facts.height_px}; object-fit: fill" '
        f'poster="data:image/jpeg;base64,{poster}" src="{html.escape(source)}"></video>'
    )


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
