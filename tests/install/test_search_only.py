"""An installation without extras answers queries on a library that exists, and says what the rest needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from environments import Environment, linked_environment
from support import CLIPS, REPOSITORY

MISSING = ("torch", "onnx", "onnxscript", "onnx-ir", "decord", "numba", "llvmlite", "sympy", "networkx", "hnswlib")
LINE = "is not installed; install it with: pip install 'vidsearch[index]'"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = linked_environment(tmp_path_factory.mktemp("light") / "venv", without=MISSING)
    (environment.packages / "vidsearch").symlink_to(REPOSITORY / "vidsearch")
    return environment


@pytest.fixture
def light_run(light: Environment, tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    return partial(light.run, cwd=tmp_path)


def test_a_query_answers(light_run: Callable[..., CompletedProcess[str]], clips_library: Path) -> None:
    found = light_run("query", "two purple circles moving down", "-k", "1", home=clips_library)
    assert found.returncode == 0, found.stderr
    assert "two-purple-circles-down.mp4" in found.stdout


@pytest.mark.parametrize(
    ("begins", "arguments"),
    [
        ("embedding videos", ("index", CLIPS)),
        ("answering questions", ("ask", CLIPS / "red-square-left.mp4", "what?", "--model", "mobilevideogpt-nano")),
        ("answering questions", ("ask", CLIPS / "red-square-left.mp4", "what?")),  # before 2 GB are offered
        ("answering questions", ("query", "a red square", "--ask", "what?")),
        ("answering questions", ("evaluate", "questions", "mvbench", "--data", CLIPS)),
        ("captioning", ("evaluate", "captions", "msrvtt", "--data", CLIPS)),
        ("installing a model", ("models", "pull", "conse-lite2", "--yes")),
        ("profiling a model", ("models", "profile", "mobileviclip-nano")),
        ("this command", ("models", "export", "mobileviclip-nano", "--to", "onnx")),
        ("this command", ("train", "ablation")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(str(word) for word in value[:2]),
)
def test_the_rest_says_what_to_install(
    light_run: Callable[..., CompletedProcess[str]], tmp_path: Path, begins: str, arguments: tuple[str | Path, ...]
) -> None:
    told = light_run(*arguments, home=tmp_path / "home")
    assert (told.returncode, told.stderr) == (2, f"vidsearch: {begins} needs the package torch, which {LINE}\n")


def test_doctor_calls_it_an_installation_that_searches(
    light_run: Callable[..., CompletedProcess[str]], clips_library: Path
) -> None:
    told = light_run("doctor", home=clips_library)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "decord is not installed" in told.stdout
    assert "the text encoder answers" in told.stdout
    assert LINE in told.stdout
