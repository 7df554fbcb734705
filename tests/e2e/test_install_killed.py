"""kill -9 at any moment of an installation: the model is absent, or it is whole; the next installation clears up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from seeded import TEXT_PRUNED, seeded, small_config
from support import environment

from vidsearch.models.conversion.install import install
from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import find_model
from vidsearch.models.hashes import wrong_files

NAME = "mobileviclip-tiny"
KILLS = [
    pytest.param(24, marks=pytest.mark.slow),
    pytest.param(60, marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
]

# Imports once and then forks: each attempt is a process of its own that is killed after a part of the time that a whole
# installation takes. Every third attempt replaces a model that is there.
SCRIPT = """
import json, os, shutil, signal, sys, time
from pathlib import Path
import vidsearch.models.onnx_check
from vidsearch.errors import ModelError
from vidsearch.models.families import FAMILIES
from vidsearch.models.folder import find_model
from vidsearch.models.conversion.install import install
from vidsearch.models.hashes import wrong_files

for part in FAMILIES["mobileviclip"].parts.named():
    FAMILIES["mobileviclip"].part(part)

name, source, models, kills = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])

def attempt(kill_after_s):
    child = os.fork()
    if not child:
        install(name, source, models)
        os._exit(0)
    began = time.monotonic()
    while kill_after_s is None or time.monotonic() - began < kill_after_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, status
            return time.monotonic() - began
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

whole_s = attempt(None)
states, cut = [], 0
for number in range(kills):
    if number % 3:
        shutil.rmtree(models / name, ignore_errors=True)
    attempt(whole_s * (number + 0.5) / kills)
    cut += any(models.glob(".*.part"))
    try:
        states.append("; ".join(wrong_files(find_model(name, models))) or "whole")
    except ModelError as error:
        states.append("absent" if "not on this machine" in str(error) else str(error))
print(json.dumps([states, cut]))
"""


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_installation_leaves_the_model_absent_or_whole(tmp_path: Path, kills: int) -> None:
    source, models = tmp_path / "source", tmp_path / "models"
    write_model_folder(seeded(small_config(NAME, TEXT_PRUNED)), source, provenance={})
    command = [sys.executable, "-c", SCRIPT, NAME, str(source), str(models), str(kills)]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr.decode()
    states, cut = json.loads(done.stdout)
    assert len(states) == kills
    assert set(states) == {"absent", "whole"}, states  # both happen, and nothing else
    assert cut > 3  # kills did come in the middle of writing
    install(NAME, source, models)
    assert wrong_files(find_model(NAME, models)) == []
    assert sorted(path.name for path in models.iterdir()) == [".install.lock", NAME]
