"""Indexes a folder as the workflow does, with vectors made from the content, in processes that can be killed.

    python killed_writer.py     a JSON request a line on standard input, its JSON answer on standard output

Request: `root`, `home` and `kill_after_s` (null: never). Answer: the seconds that the run took, null if it was killed.
Imports once, then forks.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from store_shelf import Shelf

from vidsearch.store.library import Library


def index(root: Path, home: Path) -> None:
    with Library.open(home, exact_below=200, graph_from=200) as library:  # so that the index files are written, too
        Shelf(root, home, library).index()


def run(root: Path, home: Path, kill_after_s: float | None) -> float | None:
    """One process; how long it worked, None if it was killed."""
    began_s = time.monotonic()
    child = os.fork()
    if not child:
        index(root, home)
        os._exit(0)
    while kill_after_s is None or time.monotonic() - began_s < kill_after_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, status
            return time.monotonic() - began_s
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else time.monotonic() - began_s


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        took_s = run(Path(request["root"]), Path(request["home"]), request["kill_after_s"])
        sys.stdout.write(json.dumps(took_s) + "\n")
        sys.stdout.flush()
