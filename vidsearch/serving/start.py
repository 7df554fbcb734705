"""The parts of the application, opened: what is missing is told before anything is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vidsearch import dirs
from vidsearch.embedding.embedder import open_text_embedder
from vidsearch.machine import cores
from vidsearch.models.folder import find_model
from vidsearch.models.registry import DEFAULT_MODEL
from vidsearch.models.score_levels import levels_of
from vidsearch.serving.asking import Asking
from vidsearch.serving.catalogue import Catalogue
from vidsearch.serving.conversions import Conversions
from vidsearch.serving.exports import Exports
from vidsearch.serving.indexing import Indexing
from vidsearch.serving.routes import Parts
from vidsearch.serving.words import RememberingEmbedder
from vidsearch.store.library import open_library
from vidsearch.video.thumbnails import Thumbnails

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer


def make_parts(
    home: Path,
    model: str,
    ask_model: str,
    open_answerer: Callable[[], Answerer],
    *,
    device: str = "auto",
    conversions: int = 2,
) -> Parts:
    """Opens the library in `home` and the model that searches it; `open_answerer` is called with the first question.

    Raises LibraryError if there is no library, ModelError if the model is not there.
    """
    folder = find_model(model, dirs.models_dir(), "embedding")
    library = open_library(home, create=False, warm=True)
    try:
        embedder = RememberingEmbedder(open_text_embedder(model, models_dir=dirs.models_dir()))
        embedder.embed(["a first text, so that no viewer waits for what the first one costs"])
        catalogue = Catalogue(library, embedder, levels_of(folder, dirs.models_dir()), DEFAULT_MODEL)
        return Parts(
            catalogue,
            Thumbnails(jobs=max(1, cores() // 2)),
            Conversions(conversions),
            Asking(ask_model, open_answerer),
            Indexing(home, model, device),
            Exports(),
        )
    except BaseException:
        library.close()
        raise
