"""What an installation would take on systems that are not here: every package as a wheel, but for hnswlib.

    make test-platforms          minutes, a package index, and uv, which resolves for a system that it does not run on

Nothing is installed and nothing runs: it is proved that the packages can be had, not that vidsearch works there.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from support import REPOSITORY

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]

PYTHONS = ("3.11", "3.12", "3.13")
EVERYTHING = ("all", "shots", "eval", "mobile")
OLDEST_MACOS = "14.0"  # PyAV and ONNX Runtime have no wheels for older ones
DECORD = {"x86_64-manylinux_2_28", "x86_64-pc-windows-msvc"}  # where it is wanted, and so are the others
COREML = {"x86_64-manylinux_2_28", "aarch64-apple-darwin"}
PLATFORMS = sorted({*DECORD, *COREML, "aarch64-manylinux_2_28"})


def resolved(platform: str, python: str, *extras: str) -> set[str]:
    """The names of all packages that an installation takes there; skips without uv, or without an index."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not here: pip install uv")
    run = subprocess.run(
        [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "pyproject.toml",
         *(f"--extra={extra}" for extra in extras),
         "--python-platform", platform, "--python-version", python,
         "--only-binary", ":all:", "--no-binary", "hnswlib"],
        cwd=REPOSITORY, env={**os.environ, "MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "error sending request" in run.stderr or "dns error" in run.stderr:
        pytest.skip(f"no package index can be reached: {run.stderr.strip().splitlines()[-1]}")
    assert run.returncode == 0, run.stderr
    return {line.partition("==")[0] for line in run.stdout.splitlines()}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_there_are_wheels_of_everything(platform: str, python: str) -> None:
    packages = resolved(platform, python, *EVERYTHING)
    assert {"torch", "numba", "starlette", "opentimelineio", "scenedetect-headless", "executorch"} <= packages
    assert ("decord" in packages) == (platform in DECORD)
    assert ("coremltools" in packages) == (platform in COREML)


def test_a_mac_with_an_intel_processor_can_search() -> None:
    """torch has no wheels for it, ONNX Runtime older ones."""
    packages = resolved("x86_64-apple-darwin", "3.12", "serve", "edit")
    assert {"av", "hnswlib", "onnxruntime"} <= packages
    assert not packages & {"decord", "onnx", "torch"}
