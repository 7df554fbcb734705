"""Converters print progress, hints and warnings about their own parts: none of it is for who exports a model."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is printed, nothing reaches the process's stderr, also from C++, no warning is raised.

    Errors are exceptions.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    level = logging.root.manager.disable
    try:
        with (
            open(os.devnull, "w") as nowhere,  # noqa: PTH123 - a device, not a file
            redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        logging.disable(level)
