"""Tab in a real shell: models, numbers of hits, indexed folders, options; files where nothing else fits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import CLIPS, run_vidsearch

BASH = """
source "$1"
shift
COMP_WORDS=(vidsearch "$@")
COMP_CWORD=$#
$(complete -p vidsearch | sed 's/.*-F \\([^ ]*\\).*/\\1/') vidsearch
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`vidsearch` as an installed script: shells complete by the name of the program."""
    script = tmp_path_factory.mktemp("bin") / "vidsearch"
    script.write_text(f"#!{sys.executable}\nfrom vidsearch.__main__ import main\nmain()\n")
    script.chmod(0o755)
    return script


def completed(shell: str, program: Path, home: Path, tmp_path: Path, *words: str) -> list[str]:
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "VIDSEARCH_HOME": str(home)}
    script = tmp_path / f"complete.{shell}"
    shown = subprocess.run(
        ["vidsearch"], env=env | {"_VIDSEARCH_COMPLETE": f"source_{shell}"}, capture_output=True, check=True
    )
    script.write_bytes(shown.stdout)
    if shell == "fish":
        order = f"source {script}; complete --do-complete 'vidsearch {' '.join(words)}'"
        run = subprocess.run(["fish", "--no-config", "-c", order], env=env, capture_output=True, text=True, check=True)
    else:
        run = subprocess.run(
            ["bash", "--norc", "-c", BASH, "bash", script, *words], env=env, capture_output=True, text=True, check=True
        )
    return [line.split("\t")[0] for line in run.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_what_can_follow_is_completed(shell: str, program: Path, indexed_clips: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    home = tmp_path / "home"
    shutil.copytree(indexed_clips, home)
    found = run_vidsearch("query", "a star", "-k", "3", "--all", env={"VIDSEARCH_HOME": str(home)})
    assert found.returncode == 0
    ask = (shell, program, home, tmp_path)
    assert completed(*ask, "sim") == ["similar"]
    assert completed(*ask, "query", "x", "--model", "mobileviclip-n") == ["mobileviclip-nano"]
    assert completed(*ask, "ask", "") == ["1", "2", "3"]
    assert completed(*ask, "query", "x", "--under", "/") == [str(CLIPS)]
    assert completed(*ask, "models", "info", "conse") == ["conse-lite2"]


def test_a_missing_library_completes_nothing(program: Path, tmp_path: Path) -> None:
    assert completed("bash", program, tmp_path / "none", tmp_path, "ask", "") == []


def test_zsh_gets_the_same_list(program: Path, indexed_clips: Path) -> None:
    """zsh's own completion needs a line editor; what it is given is compared where zsh is installed."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "VIDSEARCH_HOME": str(indexed_clips)}
    order = 'eval "$(_TYPER_COMPLETE_ARGS="vidsearch sim" _VIDSEARCH_COMPLETE=complete_zsh vidsearch)"'
    defined = f"_arguments() {{ print -r -- $* }}; _describe() {{ print -r -- $* }}; {order}"
    run = subprocess.run(["zsh", "-f", "-c", defined], env=env, capture_output=True, text=True, check=True)
    assert "similar" in run.stdout
