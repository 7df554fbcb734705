"""Converters print progress, hints and warnings about their own parts: none of it is for who exports a model."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing reaches the process's stderr, also from C++, and no warning is raised. Errors are exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    level = logging.root.manager.disable
    try:
        with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():  # noqa: PTH123 - a device, not a file
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        logging.disable(level)
