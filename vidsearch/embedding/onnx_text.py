"""Token ids → vectors with ONNX Runtime: the text.onnx of a model folder. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidsearch.errors import ModelError
from vidsearch.machine import cores
from vidsearch.models.folder import ModelFolder

MAX_THREADS = 4  # one text is 77 rows: more threads wait for each other


class OnnxTextEncoder:
    """A `TextEncoder` over `text.onnx`, whose first output are the vectors."""

    def __init__(self, folder: ModelFolder, *, threads: int | None = None) -> None:
        self.path = folder.text_encoder
        self._model = folder.name
        self._session = open_session(self.path, threads)

    def encode(self, inputs: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """What the tokenizer gave → (B, E)."""
        try:
            return np.asarray(self._session.run(None, dict(inputs))[0], np.float32)
        except Exception as error:  # the runtime has no base class of its own; the graph is at fault, or memory
            reason = str(error).partition("\n")[0][:200]
            raise ModelError(f"the text encoder {self.path} fails ({reason}); install {self._model} again") from error


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
