"""The requests of the API, each a function: fields taken, one call, one answer (openapi.py describes them)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from vidsearch.answering.interface import Clip, TimeRange
from vidsearch.machine import cores
from vidsearch.records import VideoEntry
from vidsearch.serving import playable
from vidsearch.serving.answers import document, events
from vidsearch.serving.asking import MOST_QUESTION, Asking
from vidsearch.serving.catalogue import MOST_HITS, MOST_WORDS, Catalogue, read_query, video_form
from vidsearch.serving.conversions import Conversions
from vidsearch.serving.exports import FORMS, MOST_MOMENTS, MOST_PAD_S, Exports
from vidsearch.serving.fields import json_fields, path_number, query_fields
from vidsearch.serving.files import file_response
from vidsearch.serving.indexing import Indexing
from vidsearch.serving.openapi import description
from vidsearch.serving.refusals import RefusedError
from vidsearch.video.thumbnails import LARGEST_SIDE_PX, Thumbnails

PARTS = "vidsearch.parts"  # where a request carries them
HEIGHTS_PX = (240, 480, 720)
SIDES_PX = (160, 320, LARGEST_SIDE_PX)
_Given = TypeVar("_Given")


def _limiter(slots: int) -> Callable[[], anyio.CapacityLimiter]:
    return lambda: anyio.CapacityLimiter(slots)


@dataclass(slots=True)
class Parts:
    """What the routes share. Each kind of work has threads of its own, so that none waits for another kind."""

    catalogue: Catalogue
    thumbnails: Thumbnails
    conversions: Conversions
    asking: Asking
    indexing: Indexing
    exports: Exports
    searching: anyio.CapacityLimiter = field(default_factory=_limiter(max(2, cores())))
    looking_up: anyio.CapacityLimiter = field(default_factory=_limiter(4))
    drawing: anyio.CapacityLimiter = field(default_factory=_limiter(max(2, cores())))
    exporting: anyio.CapacityLimiter = field(default_factory=_limiter(1))
    sending: anyio.CapacityLimiter = field(default_factory=_limiter(64))


def parts_of(request: Request) -> Parts:
    """What the application was made with."""
    parts: Parts = request.scope[PARTS]
    return parts


async def openapi(request: Request) -> Response:
    """The description of this API."""
    return JSONResponse(description(), headers={"cache-control": "no-cache"})


async def library(request: Request) -> Response:
    """What is indexed."""
    query_fields(request).done()
    parts = parts_of(request)
    return document(await _off_loop(parts.looking_up, parts.catalogue.facts))


async def videos(request: Request) -> Response:
    """A page of the videos, latest written first."""
    given = query_fields(request)
    limit = given.whole("limit", least=1, most=500, default=60)
    offset = given.whole("offset", least=0, most=10**9, default=0)
    state = given.choice("state", "all", "indexed", "failed", default="all")
    given.done()
    parts = parts_of(request)
    failed = {"all": None, "indexed": False, "failed": True}[state]
    return document(await _off_loop(parts.looking_up, parts.catalogue.videos, limit, offset, failed))


async def video(request: Request) -> Response:
    """What is known of one video, and how a browser may play it."""
    query_fields(request).done()
    parts = parts_of(request)
    entry = await _entry(request)
    form = video_form(entry)
    if entry.state == "indexed":
        facts = await _off_loop(parts.looking_up, playable.playable, entry.path)
        form |= {"type": facts.type, "has_sound": facts.has_sound}
    return document(form)


async def search(request: Request) -> Response:
    """Moments that show what the words say."""
    given = query_fields(request)
    text = given.text("q", most=MOST_WORDS)
    top = given.whole("top", least=1, most=MOST_HITS, default=24)
    shown: dict[str, Any] = {}  # what the text of the query may say as well
    if given.has("per_video"):
        shown["per_video"] = given.whole("per_video", least=1, most=MOST_HITS)
    if given.has("min_score"):
        shown["min_score"] = given.number("min_score", least=-1, most=1)
    if given.has("group"):
        shown["group"] = None if given.choice("group", "none", "video") == "none" else "video"
    if given.has("sort"):
        shown["sort"] = given.choice("sort", "score", "time", "date", "name")
    show_all = given.flag("all")
    given.done()
    parts = parts_of(request)
    query = read_query(text, top=top, **shown)
    return document(await _off_loop(parts.searching, parts.catalogue.search, query, show_all=show_all))


async def similar(request: Request) -> Response:
    """Moments that look like a range of a video."""
    given = query_fields(request)
    number = given.video()
    start_s, end_s = given.span()
    top = given.whole("top", least=1, most=MOST_HITS, default=24)
    given.done()
    parts = parts_of(request)
    return document(await _off_loop(parts.searching, parts.catalogue.similar, number, start_s, end_s, top))


async def curve(request: Request) -> Response:
    """How well one video matches, over its time."""
    given = query_fields(request)
    query = read_query(given.text("q", most=MOST_WORDS))
    given.done()
    parts = parts_of(request)
    return document(await _off_loop(parts.searching, parts.catalogue.curve, path_number(request), query))


async def picture(request: Request) -> Response:
    """The picture of a video at a time; with the ends of a moment, that of it on which most can be seen."""
    given = query_fields(request)
    time_s = given.seconds("time_s", default=0.0)
    side_px = given.whole("side", least=min(SIDES_PX), most=max(SIDES_PX), default=320)
    moment = given.span() if given.has("start_s") or given.has("end_s") else None
    given.done()
    side_px = min(side for side in SIDES_PX if side >= side_px)  # few sizes: each is kept for itself
    entry = await _entry(request)
    parts = parts_of(request)
    if moment is None:
        jpeg = await _off_loop(parts.drawing, parts.thumbnails.at, entry.path, time_s, side_px)
    else:
        jpeg = await _off_loop(parts.drawing, parts.thumbnails.poster, entry.path, *moment, time_s, side_px)
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


async def file(request: Request) -> Response:
    """The bytes of a video, whole or in part."""
    query_fields(request).done()
    parts = parts_of(request)
    entry = await _entry(request)
    facts = await _off_loop(parts.looking_up, playable.playable, entry.path)
    return await file_response(request, entry.path, facts.content_type, parts.sending)


async def converted(request: Request) -> Response:
    """The video from a time on, as fragmented MP4 (H.264, AAC)."""
    given = query_fields(request)
    start_s = given.seconds("start_s", default=0.0)
    height_px = given.whole("height", least=min(HEIGHTS_PX), most=max(HEIGHTS_PX), default=720)
    given.done()
    entry = await _entry(request)
    headers = {"cache-control": "no-store", "accept-ranges": "none"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="video/mp4")
    blocks = await parts_of(request).conversions.stream(entry.path, start_s, height_px)
    return StreamingResponse(blocks, media_type="video/mp4", headers=headers)


async def ask(request: Request) -> Response:
    """A question about a moment; the answer as server-sent events."""
    given = await json_fields(request)
    number = given.video()
    start_s, end_s = given.span()
    question = given.text("question", most=MOST_QUESTION)
    given.done()
    if not question.strip():
        raise RefusedError(400, "The question is empty; ask it in words.")
    parts = parts_of(request)
    entry = await _off_loop(parts.looking_up, parts.catalogue.entry_at_hand, number)
    return events(parts.asking.stream(Clip(entry.path, TimeRange(start_s, end_s)), question))


async def export(request: Request) -> Response:
    """Makes a file of moments; it is fetched by its id."""
    given = await json_fields(request)
    form = given.choice("form", *FORMS)
    pad_s = given.number("pad_s", least=0, most=MOST_PAD_S, default=0.0)
    moments = []
    for item in given.objects("moments", most=MOST_MOMENTS):
        moments.append((item.video(), *item.span()))
        item.done()
    given.done()
    parts = parts_of(request)
    hits = await _off_loop(parts.looking_up, parts.catalogue.as_hits, moments)
    made = await _off_loop(parts.exporting, parts.exports.make, form, hits, pad_s)
    return document({"export": made.id, "name": made.name})


async def exported(request: Request) -> Response:
    """A file that was made."""
    query_fields(request).done()
    parts = parts_of(request)
    made = parts.exports.get(request.path_params["id"])
    return await file_response(request, made.path, "application/octet-stream", parts.sending, save_as=made.name)


async def indexing(request: Request) -> Response:
    """How the run of indexing goes."""
    query_fields(request).done()
    return document(parts_of(request).indexing.progress.form())


async def start_indexing(request: Request) -> Response:
    """Brings the folders of the library up to date."""
    given = await json_fields(request)
    retry_failed = given.flag("retry_failed")
    given.done()
    parts = parts_of(request)
    await parts.indexing.start(retry_failed=retry_failed)
    return document(parts.indexing.progress.form())


async def stop_indexing(request: Request) -> Response:
    """Ends the run after a clean commit."""
    (await json_fields(request)).done()
    parts = parts_of(request)
    await parts.indexing.stop()
    return document(parts.indexing.progress.form())


async def indexing_events(request: Request) -> Response:
    """The progress of the run as server-sent events, until it ends."""
    query_fields(request).done()
    return events(parts_of(request).indexing.events())


async def _entry(request: Request) -> VideoEntry:
    parts = parts_of(request)
    return await _off_loop(parts.looking_up, parts.catalogue.entry, path_number(request))


async def _off_loop(
    limiter: anyio.CapacityLimiter, function: Callable[..., _Given], *arguments: Any, **named: Any
) -> _Given:
    return await anyio.to_thread.run_sync(lambda: function(*arguments, **named), limiter=limiter)
