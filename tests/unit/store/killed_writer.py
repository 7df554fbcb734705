"""Indexes a folder as the workflow does, with vectors made from the content; test_kill.py kills it."""

from __future__ import annotations

import sys
from pathlib import Path

from store_shelf import Shelf

from vidsearch.store.library import Library


def main(root: Path, home: Path) -> None:
    with Library.open(home, exact_below=200, graph_from=200) as library:  # so that the index file is written, too
        shelf = Shelf(root, home, library)
        sys.stdout.write("started\n")
        sys.stdout.flush()
        shelf.index()
    sys.stdout.write("finished\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
