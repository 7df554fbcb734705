"""Words → vectors with ONNX Runtime: the text encoder of a model folder. No torch, for a query pays for each import."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidsearch.errors import ModelError
from vidsearch.machine import cores
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.tokenizer import pre_text, token_ids, tokenize

BATCH_TEXTS = 32
MAX_THREADS = 4  # one text is 77 rows: more threads wait for each other
# Words that say nothing by themselves: a query of one of them and unknown words has no content left.
_SMALL_WORDS = frozenset(("a", "an", "the", "at", "by", "for", "from", "in", "of", "on", "to", "with"))
_SMALL_WORDS |= frozenset(("and", "are", "is", "it", "its", "or", "that", "then", "there", "this"))
_ROW_TABLE = "text_encoder.embedding_row"


class OnnxTextEmbedder:
    """A `TextEmbedder` over `text.onnx`."""

    def __init__(self, folder: ModelFolder, *, simplify: bool = True, threads: int | None = None) -> None:
        self.model = folder.name
        self.dim = int(folder.network["embed_dim"])
        self._simplify = simplify and "temporal" in folder.network  # MobileCLIP's captions were left as they were
        self._weights = folder.weights
        self._session = open_session(folder.text_encoder, threads)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """→ (B, E), rows of unit length."""
        vectors = [np.empty((0, self.dim), np.float32)]
        for batch in _batches(texts, BATCH_TEXTS):
            ids = tokenize([self._prepared(text) for text in batch])
            vectors.append(np.asarray(self._session.run(None, {"ids": ids})[0], np.float32))
        return np.concatenate(vectors)

    def unknown_words(self, text: str) -> list[str]:
        """Words whose tokens all stand in the row for unknown words of a pruned table, in the order of the text."""
        if self._rows is None:
            return []
        return [word for word in self._prepared(text).split() if not self._rows[token_ids(word)].any()]

    def knows_none_of(self, text: str) -> bool:
        """See `TextEmbedder.knows_none_of`."""
        unknown = set(self.unknown_words(text))
        return bool(unknown) and set(self._prepared(text).split()) <= unknown | _SMALL_WORDS

    def _prepared(self, text: str) -> str:
        return pre_text(text) if self._simplify else text

    @cached_property
    def _rows(self) -> NDArray[np.int64] | None:
        """(49408,) token id → row of the word table, 0 for unknown; None for a full vocabulary."""
        from safetensors import SafetensorError, safe_open  # late: only a pruned vocabulary needs the file

        try:
            with safe_open(self._weights, framework="numpy") as tensors:
                return tensors.get_tensor(_ROW_TABLE) if _ROW_TABLE in tensors.keys() else None  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{self._weights} is damaged ({error}); install {self.model} again") from error


def open_session(path: Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session for a few short runs. ModelError, which names the file, when it cannot be opened.

    Weights are not repacked for the processor: a cold query of mobileviclip-small opens in 0.04 s instead of 0.19 s and
    runs in 0.10 s instead of 0.07 s. Threads that wait sleep, since a decoder may want the core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(MAX_THREADS, cores())
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.log_severity_level = 3  # errors alone; they come as exceptions
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no base class of its own; whatever it is, the file is at fault
        raise ModelError(f"the text encoder {path} cannot be opened ({error}); install the model again") from error


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(texts), size):
        yield texts[first : first + size]
