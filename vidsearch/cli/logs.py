"""Where the program's own log goes: to stderr, in printable lines."""

from __future__ import annotations

import logging
import sys

from vidsearch.cli import show


class PrintableFormatter(logging.Formatter):
    """Log lines quote file names and other programs' words: a terminal gets none of their control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return show.printable_lines(super().format(record))


def log_to_stderr(verbose: int) -> None:
    """Warnings; with 1 also what is done, with more everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
