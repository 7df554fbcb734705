"""What a shell completes after Tab: models, numbers of hits, indexed folders. Nothing where they cannot be had."""

from __future__ import annotations

from contextlib import suppress

from vidsearch.errors import VidsearchError


def models(incomplete: str) -> list[str]:
    """The known models whose names begin so."""
    from vidsearch.models.registry import KNOWN_MODELS

    return [name for name in KNOWN_MODELS if name.startswith(incomplete)]


def hits(incomplete: str) -> list[tuple[str, str]]:
    """The numbers of the last query's hits, each with its file and time."""
    from vidsearch.cli.options import open_library
    from vidsearch.timecode import clock

    with suppress(VidsearchError), open_library() as library:
        numbered = [(str(hit.number), hit) for hit in library.last_hits()[1]]
        return [
            (text, f"{hit.path.name} {clock(hit.start_s)}") for text, hit in numbered if text.startswith(incomplete)
        ]
    return []


def indexed_folders(incomplete: str) -> list[str]:
    """The folders that were indexed; deeper ones are the shell's own business."""
    from vidsearch.cli.options import open_library

    with suppress(VidsearchError), open_library() as library:
        return [str(root) for root in library.roots() if str(root).startswith(incomplete)]
    return []
