"""The two kinds of answer of the API: one JSON document, and events as they come."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse

from vidsearch import json_forms


def document(value: Mapping[str, Any]) -> Response:
    """One JSON object with its version. Bytes of names that are not UTF-8 are \\udcXX, as everywhere."""
    body = json.dumps({"version": json_forms.VERSION, **value}, separators=(",", ":")).encode()
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


def events(stream: AsyncIterator[Mapping[str, Any]]) -> StreamingResponse:
    """Server-sent events: each a JSON object whose `kind` is also the name of the event."""

    async def lines() -> AsyncIterator[bytes]:
        async for event in stream:
            yield b"event: %s\ndata: %s\n\n" % (str(event["kind"]).encode(), json.dumps(event).encode())

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)
