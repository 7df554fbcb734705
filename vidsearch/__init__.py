"""Search a folder of videos by meaning, on an ordinary computer, with nothing uploaded.

The names below are the Python interface; each is imported when it is first used, so `import vidsearch` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vidsearch.version import VERSION

if TYPE_CHECKING:
    from vidsearch.answering.answerer import open_answerer
    from vidsearch.answering.interface import AnswerLimits, Clip, EncodedClip, GenerationOptions, SeenClip, TimeRange
    from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
    from vidsearch.errors import LibraryError, ModelError, VideoError, VidsearchError
    from vidsearch.models.load import build
    from vidsearch.query_text.mistakes import QueryMistake
    from vidsearch.query_text.reading import parse_query
    from vidsearch.query_text.writing import format_query
    from vidsearch.records import (
        Before,
        ClipFrames,
        ClipWindow,
        FrameSpec,
        Hit,
        LikeFile,
        LikeHit,
        MaxDuration,
        MinDuration,
        MinHeight,
        Named,
        NotUnder,
        Query,
        ReadBy,
        Since,
        Suffix,
        Term,
        Under,
        VideoFacts,
        VideoFile,
        WindowSpec,
    )
    from vidsearch.store.library import Library, open_library
    from vidsearch.video.reader import open_reader, read_windows
    from vidsearch.workflows.ask import ask_about
    from vidsearch.workflows.index import IndexOptions, index_folders
    from vidsearch.workflows.query import QueryOptions, find_moments

__version__ = VERSION

_HOMES = {
    "AnswerLimits": "answering.interface",
    "Clip": "answering.interface",
    "EncodedClip": "answering.interface",
    "GenerationOptions": "answering.interface",
    "SeenClip": "answering.interface",
    "open_answerer": "answering.answerer",
    "TimeRange": "answering.interface",
    "open_clip_embedder": "embedding.embedder",
    "open_text_embedder": "embedding.embedder",
    "LibraryError": "errors",
    "ModelError": "errors",
    "VideoError": "errors",
    "VidsearchError": "errors",
    "build": "models.load",
    "Before": "records",
    "LikeFile": "records",
    "LikeHit": "records",
    "MaxDuration": "records",
    "MinDuration": "records",
    "MinHeight": "records",
    "Named": "records",
    "NotUnder": "records",
    "ReadBy": "records",
    "Since": "records",
    "Suffix": "records",
    "QueryMistake": "query_text.mistakes",
    "parse_query": "query_text.reading",
    "format_query": "query_text.writing",
    "ClipFrames": "records",
    "ClipWindow": "records",
    "FrameSpec": "records",
    "Hit": "records",
    "Query": "records",
    "Term": "records",
    "Under": "records",
    "VideoFacts": "records",
    "VideoFile": "records",
    "WindowSpec": "records",
    "Library": "store.library",
    "open_library": "store.library",
    "open_reader": "video.reader",
    "read_windows": "video.reader",
    "ask_about": "workflows.ask",
    "IndexOptions": "workflows.index",
    "index_folders": "workflows.index",
    "QueryOptions": "workflows.query",
    "find_moments": "workflows.query",
}

__all__ = [
    "AnswerLimits",
    "Before",
    "Clip",
    "ClipFrames",
    "ClipWindow",
    "EncodedClip",
    "FrameSpec",
    "GenerationOptions",
    "Hit",
    "IndexOptions",
    "Library",
    "LibraryError",
    "LikeFile",
    "LikeHit",
    "MaxDuration",
    "MinDuration",
    "MinHeight",
    "ModelError",
    "Named",
    "NotUnder",
    "Query",
    "QueryMistake",
    "QueryOptions",
    "ReadBy",
    "SeenClip",
    "Since",
    "Suffix",
    "Term",
    "TimeRange",
    "Under",
    "VideoError",
    "VideoFacts",
    "VideoFile",
    "VidsearchError",
    "WindowSpec",
    "ask_about",
    "build",
    "find_moments",
    "format_query",
    "index_folders",
    "open_answerer",
    "open_clip_embedder",
    "open_library",
    "open_reader",
    "open_text_embedder",
    "parse_query",
    "read_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
