"""Runs tests in an environment that lacks packages: python tests/install/run_without.py decord hnswlib -- tests/unit"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

from environments import linked_environment  # noqa: E402


def main(arguments: list[str]) -> int:
    """The exit code of pytest."""
    split = arguments.index("--")
    with tempfile.TemporaryDirectory() as folder:
        environment = linked_environment(Path(folder) / "venv", without=arguments[:split])
        return subprocess.run(
            [environment.python, "-m", "pytest", *arguments[split + 1 :]],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
