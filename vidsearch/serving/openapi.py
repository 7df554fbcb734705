"""The API in the words of OpenAPI 3.1: what each request takes, within which bounds, and what it gives.

The bounds are those that routes.py checks; a test sends requests made from this description and compares.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from vidsearch import __version__, json_forms
from vidsearch.serving.asking import MOST_QUESTION
from vidsearch.serving.catalogue import MOST_HITS, MOST_WORDS
from vidsearch.serving.exports import FORMS, MOST_MOMENTS, MOST_PAD_S
from vidsearch.serving.fields import MOST_NUMBER, MOST_SECONDS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_FLAG: Schema = {"type": "boolean"}
_SECONDS: Schema = {"type": "number", "minimum": -MOST_SECONDS, "maximum": MOST_SECONDS}
_VIDEO: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_NUMBER}
_WORDS: Schema = {"type": "string", "minLength": 1, "maxLength": MOST_WORDS}
_LEVEL: Schema = {"enum": ["high", "medium", "low", "none", None]}
_STATE: Schema = {"enum": ["indexed", "failed", "offline"]}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these fields; further ones may come in later versions."""
    return {"type": "object", "required": sorted(required), "properties": {**required, **(optional or {})}}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _versioned(fields: dict[str, Schema]) -> Schema:
    return _object({"version": {"const": json_forms.VERSION}, **fields})


_SHAPE = {"width_px": _maybe(_WHOLE), "height_px": _maybe(_WHOLE)}
_HIT = {
    "number": _WHOLE,
    "path": _TEXT,
    "start_s": _NUMBER,
    "end_s": _NUMBER,
    "best_s": _NUMBER,
    "score": _NUMBER,
    "level": _LEVEL,
    "model": _TEXT,
    "offline": _FLAG,
    "date": _maybe(_TEXT),
    "video": _VIDEO,
    "video_start_s": _maybe(_NUMBER),
    "video_end_s": _maybe(_NUMBER),
    "video_duration_s": _maybe(_NUMBER),
    **_SHAPE,
}
_VIDEO_FIELDS = {
    "video": _VIDEO,
    "path": _TEXT,
    "state": _STATE,
    "error": _maybe(_TEXT),
    "error_kind": _maybe(_TEXT),
    "start_s": _maybe(_NUMBER),
    "end_s": _maybe(_NUMBER),
    "duration_s": _maybe(_NUMBER),
    "fps": _maybe(_NUMBER),
    **_SHAPE,
    "codec": _maybe(_TEXT),
    "container": _maybe(_TEXT),
    "size_bytes": _WHOLE,
    "modified_s": _NUMBER,
}
_EVENTS: Schema = {"text/event-stream": {}}  # data of each event: a JSON object with `kind`; OpenAPI 3.1 cannot say it
_SPAN = {"video": _VIDEO, "start_s": _SECONDS, "end_s": _SECONDS}
_PLAYED = {"type": _maybe(_TEXT), "has_sound": _FLAG}
_WINDOW = {"start_s": _NUMBER, "end_s": _NUMBER, "score": _NUMBER, "level": _LEVEL}
_RUN = {
    "state": {"enum": ["none", "running", "done", "failed", "stopped"]},
    "retry_failed": _FLAG,
    "started_s": _NUMBER,
    "ended_s": _maybe(_NUMBER),
    "files": _WHOLE,
    "done": _WHOLE,
    "indexed": _WHOLE,
    "windows": _WHOLE,
    "seconds": _NUMBER,
    "unchanged": _WHOLE,
    "gone": _WHOLE,
    "device": _maybe(_TEXT),
    "current": _list(_object({"path": _TEXT, "done": _WHOLE, "windows": _WHOLE})),
    "failures": _list(_object({"path": _TEXT, "error_kind": _TEXT, "error": _TEXT})),
    "error": _maybe(_TEXT),
}
_SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": _TEXT}),
    "Hit": _object(_HIT),
    "Hits": _versioned(
        {
            "query": _TEXT,
            "written": _TEXT,
            "model": _TEXT,
            "hits": _list(_ref("Hit")),
            "left_out": _WHOLE,
            "unknown_words": _list(_TEXT),
        }
    ),
    "Similar": _versioned({"video": _VIDEO, "path": _TEXT, "model": _TEXT, "hits": _list(_ref("Hit"))}),
    "Export": _versioned({"export": _TEXT, "name": _TEXT}),
    "Video": _object(_VIDEO_FIELDS),
    "Videos": _versioned({"total": _WHOLE, "videos": _list(_ref("Video"))}),
    "PlayedVideo": {
        "type": "object",
        "required": ["version", *sorted(_VIDEO_FIELDS)],
        "properties": {"version": {"const": json_forms.VERSION}, **_VIDEO_FIELDS, **_PLAYED},
    },
    "Curve": _versioned(
        {
            "video": _VIDEO,
            "query": _TEXT,
            "model": _TEXT,
            "windows": _list(_object(_WINDOW)),
            "moments": _list(_ref("Hit")),
        }
    ),
    "Library": _versioned(
        {
            "folder": _TEXT,
            "model": _TEXT,
            "levels": {"type": ["object", "null"]},
            "roots": _list(_object({"path": _TEXT, "offline": _FLAG})),
            "models": _list({"type": "object"}),
            "videos": _object({"indexed": _WHOLE, "failed": _WHOLE, "offline": _WHOLE}),
            "duration_s": _NUMBER,
        }
    ),
    "Run": _versioned(_RUN),
}


@cache
def description() -> dict[str, Any]:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vidsearch",
            "version": __version__,
            "description": (
                "What `vidsearch serve` answers. Videos are named by their number in the library, never by a path. "
                "Times are container presentation times in seconds. JSON forms are those of docs/json.md."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {path: dict(operations) for path, operations in _paths().items()},
        "components": {"schemas": _SCHEMAS},
    }


def _paths() -> dict[str, dict[str, Any]]:
    number = [_in_path("number", _VIDEO)]
    words = _field("q", _WORDS, required=True)
    return {
        "/api/library": {"get": _gives("library", "What is indexed.", _json("Library"))},
        "/api/search": {
            "get": _gives(
                "search",
                "Moments that a query finds, in the form that `vidsearch query` takes, without like:.",
                _json("Hits"),
                [
                    words,
                    _field("top", {"type": "integer", "minimum": 1, "maximum": MOST_HITS, "default": 24}),
                    _field("per_video", {"type": "integer", "minimum": 1, "maximum": MOST_HITS}),
                    _field("group", {"enum": ["none", "video"]}),
                    _field("sort", {"enum": ["score", "time", "date", "name"]}),
                    _field("min_score", {"type": "number", "minimum": -1, "maximum": 1}),
                    _field("all", {"type": "boolean", "default": False}),
                ],
            )
        },
        "/api/similar": {
            "get": _gives(
                "similar",
                "Moments that look like a range of a video, best first, without that range itself.",
                _json("Similar"),
                [
                    _field("video", _VIDEO, required=True),
                    _field("start_s", _SECONDS, required=True),
                    _field("end_s", _SECONDS, required=True),
                    _field("top", {"type": "integer", "minimum": 1, "maximum": MOST_HITS, "default": 24}),
                ],
            )
        },
        "/api/exports": {
            "post": _gives(
                "export",
                "Makes a file of moments: clips in a ZIP (exact: to the frame), or a timeline; fetched by its id.",
                _json("Export"),
                body=_object(
                    {
                        "form": {"enum": list(FORMS)},
                        "moments": {
                            **_list({**_object(_SPAN), "additionalProperties": False}),
                            "minItems": 1,
                            "maxItems": MOST_MOMENTS,
                        },
                    },
                    {"pad_s": {"type": "number", "minimum": 0, "maximum": MOST_PAD_S, "default": 0}},
                ),
            )
        },
        "/api/exports/{id}": {
            "get": _gives(
                "exported",
                "A file that was made; the last few are kept.",
                _bytes("application/octet-stream"),
                [_in_path("id", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"})],
                also=("206", "416"),
            )
        },
        "/api/videos": {
            "get": _gives(
                "videos",
                "A page of the videos, latest written first.",
                _json("Videos"),
                [
                    _field("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 60}),
                    _field("offset", {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0}),
                    _field("state", {"enum": ["all", "indexed", "failed"], "default": "all"}),
                ],
            )
        },
        "/api/videos/{number}": {
            "get": _gives(
                "video",
                "What is known of one video. `type`: what `canPlayType` takes; null: play the converted stream.",
                _json("PlayedVideo"),
                number,
            )
        },
        "/api/videos/{number}/curve": {
            "get": _gives(
                "curve",
                "The score of every window of one video, in the order of time, and the moments they make.",
                _json("Curve"),
                [*number, words],
            )
        },
        "/api/videos/{number}/picture": {
            "get": _gives(
                "picture",
                "The picture at a time; of a moment from start_s to end_s, that around time_s which shows most.",
                _bytes("image/jpeg"),
                [
                    *number,
                    _field("time_s", {**_SECONDS, "default": 0}),
                    _field("start_s", _SECONDS),
                    _field("end_s", _SECONDS),
                    _field("side", {"type": "integer", "minimum": 160, "maximum": 640, "default": 320}),
                ],
            )
        },
        "/api/videos/{number}/file": {
            "get": _gives(
                "file", "The file as it is; byte ranges are answered.", _bytes("video/mp4"), number, also=("206", "416")
            )
        },
        "/api/videos/{number}/converted": {
            "get": _gives(
                "converted",
                "The video from a time on as fragmented MP4 (H.264, AAC), whose own times begin at 0.",
                _bytes("video/mp4"),
                [
                    *number,
                    _field("start_s", {**_SECONDS, "default": 0}),
                    _field("height", {"type": "integer", "minimum": 240, "maximum": 720, "default": 720}),
                ],
            )
        },
        "/api/ask": {
            "post": _gives(
                "ask",
                "A question about a moment. Events: waiting, encoded, question, piece (many), answered; or error.",
                _EVENTS,
                body=_object(
                    {
                        **_SPAN,
                        "question": {"type": "string", "minLength": 1, "maxLength": MOST_QUESTION},
                    }
                ),
            )
        },
        "/api/indexing": {"get": _gives("indexing", "How the run of indexing goes.", _json("Run"))},
        "/api/indexing/start": {
            "post": _gives(
                "startIndexing",
                "Brings the library's folders up to date, as `vidsearch index` does.",
                _json("Run"),
                body=_object({}, {"retry_failed": {"type": "boolean", "default": False}}),
            )
        },
        "/api/indexing/stop": {
            "post": _gives("stopIndexing", "Ends the run after a clean commit.", _json("Run"), body=_object({}))
        },
        "/api/indexing/events": {
            "get": _gives("indexingEvents", "The run as events `progress`, until it ends.", _EVENTS)
        },
    }


def _gives(
    name: str,
    summary: str,
    content: Schema,
    fields: list[Schema] | None = None,
    *,
    body: Schema | None = None,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    """An operation. Every one may be refused, with a sentence that says why."""
    refused = {"description": "Refused, with a sentence that says why.", "content": _json("Error")}
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": fields or [],
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{status: {"description": "Part of it, or none such."} for status in also},
            "4XX": refused,
            "503": refused,
        },
    }
    if body is not None:
        schema = {**body, "additionalProperties": False}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _json(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _bytes(kind: str) -> Schema:
    return {kind: {"schema": {"type": "string"}}}


def _field(name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
