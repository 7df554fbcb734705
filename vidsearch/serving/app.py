"""The application: routes behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from vidsearch.serving import pages, routes
from vidsearch.serving.guard import Access, Guard
from vidsearch.serving.routes import PARTS, Parts

ROUTES = [
    Route("/", pages.page),
    Route("/video/{number}", pages.page),
    Route("/library", pages.page),
    Route("/static/{name}", pages.asset),
    Route("/api/openapi.json", routes.openapi),
    Route("/api/library", routes.library),
    Route("/api/search", routes.search),
    Route("/api/similar", routes.similar),
    Route("/api/exports", routes.export, methods=["POST"]),
    Route("/api/exports/{id}", routes.exported),
    Route("/api/videos", routes.videos),
    Route("/api/videos/{number}", routes.video),
    Route("/api/videos/{number}/curve", routes.curve),
    Route("/api/videos/{number}/picture", routes.picture),
    Route("/api/videos/{number}/file", routes.file),
    Route("/api/videos/{number}/converted", routes.converted),
    Route("/api/ask", routes.ask, methods=["POST"]),
    Route("/api/indexing", routes.indexing),
    Route("/api/indexing/start", routes.start_indexing, methods=["POST"]),
    Route("/api/indexing/stop", routes.stop_indexing, methods=["POST"]),
    Route("/api/indexing/events", routes.indexing_events),
]


def application(parts: Parts, access: Access) -> ASGIApp:
    """An ASGI application over the parts, for those whom `access` lets in."""

    @asynccontextmanager
    async def lifespan(app: Router) -> AsyncIterator[None]:
        yield
        await parts.conversions.close()
        await parts.indexing.close()
        parts.thumbnails.close()
        parts.exports.close()

    router = Router(ROUTES, redirect_slashes=False, lifespan=lifespan)

    async def with_parts(scope: Scope, receive: Receive, send: Send) -> None:
        # `app` makes the router raise where there is no such route, instead of answering in its own way.
        await router({**scope, "app": router, PARTS: parts}, receive, send)

    return Guard(with_parts, access)
