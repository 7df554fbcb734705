"""The packages that not every installation has: which extra brings each, and the sentence for one that is missing.

An installation without extras answers queries on a library that exists. What needs more imports it late; where the
import fails, `needing` turns Python's error into the line that installs the package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from vidsearch.errors import VidsearchError

EXTRA_OF = {  # the package that is imported → the extra that brings it
    "torch": "index",
    "onnx": "index",
    "numba": "fast",
    "pyarrow": "eval",
    "pycocoevalcap": "eval",
    "starlette": "serve",
    "uvicorn": "serve",
    "opentimelineio": "edit",
    "PIL": "edit",
    "scenedetect": "shots",
    "executorch": "mobile",
    "coremltools": "mobile",
    "litert_torch": "litert",
    "ai_edge_litert": "litert",
    "ai_edge_quantizer": "litert",
}
WHEELS_FOR = {"coremltools": "macOS and for Linux on x86-64"}  # elsewhere its extra leaves it out


class MissingExtraError(VidsearchError):
    """A package of an extra is not installed. `package` is its name, `extra` what to install."""

    def __init__(self, what: str, package: str) -> None:
        self.package = package
        self.extra = EXTRA_OF[package]
        where = f" (it has wheels for {WHEELS_FOR[package]} alone)" if package in WHEELS_FOR else ""
        super().__init__(
            f"{what} needs the package {package}, which is not installed; install it with: "
            f"pip install 'vidsearch[{self.extra}]'{where}"
        )


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Raises MissingExtraError, whose sentence begins with `what`, if a package of an extra is missing in the body.

    Any other failed import stays what it is: a bug, or a broken installation.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        raise MissingExtraError(what, package) from error


def require(what: str, package: str) -> None:
    """MissingExtraError, whose sentence begins with `what`, if a package of an extra is not there; nothing is imported.

    For what would do much in vain, such as a download, before the package is imported.
    """
    if not installed(package):
        raise MissingExtraError(what, package)


def installed(package: str) -> bool:
    """Whether a package is there; it is not imported."""
    return find_spec(package) is not None
