"""`python -m vidsearch.training`: the same as `vidsearch train`, with numpy and torch alone."""

from __future__ import annotations

import sys

from vidsearch.errors import VidsearchError
from vidsearch.training.commands import main

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except VidsearchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
