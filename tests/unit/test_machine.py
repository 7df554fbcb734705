"""Threads that wait for others sleep on a busy machine: OpenMP reads whether they do when torch loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import environment

# Ends the process at the import of torch, with what OpenMP would read then.
UNTIL_TORCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
"""
OPENED = {
    "a clip embedder": "from vidsearch.embedding.embedder import open_clip_embedder as open; open('mobileviclip-nano')",
    "an answerer": "from vidsearch.answering.answerer import open_answerer as open; open('mobilevideogpt-nano')",
}


@pytest.mark.parametrize(
    ("load", "given", "told"),
    [(1000.0, None, "PASSIVE"), (1000.0, "ACTIVE", "ACTIVE"), (0.0, None, "None")],
    ids=["busy", "busy, and the user says otherwise", "nothing else runs"],
)
@pytest.mark.parametrize("what", OPENED)
def test_threads_that_wait_sleep_on_a_busy_machine(what: str, load: float, given: str | None, told: str) -> None:
    env = environment({} if given is None else {"OMP_WAIT_POLICY": given})
    if given is None:
        env.pop("OMP_WAIT_POLICY", None)
    program = f"{UNTIL_TORCH}os.getloadavg = lambda: ({load}, 0.0, 0.0)\n{OPENED[what]}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    assert ended.stdout == f"{told}\n"
