"""The runtimes that a model can be exported to: one table, each with the file that writes for it. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol

from vidsearch.errors import VidsearchError
from vidsearch.extras import MissingExtraError, installed
from vidsearch.models.exports import ExportPrecision, TowerName, Vectors

if TYPE_CHECKING:
    from vidsearch.models.conversion.mobile.tower import Tower


class Exporter(Protocol):
    """Writes one kind of file, and runs it."""

    ran_with: str  # for people: the runtime that ran the file here, and its version

    def write(self, tower: Tower, precision: ExportPrecision, path: Path) -> None:
        """Write the tower to `path`, a file or a folder that is not there yet."""
        ...

    def run(self, path: Path, tower: Tower) -> Vectors:
        """(N, E): the file's vectors of the tower's examples. ModelError if the runtime does not take the file."""
        ...

    def layers(self, path: Path, tower: Tower) -> Iterator[tuple[str, float]]:
        """Path of each layer in the order in which they run, and how far the file is from torch there.

        A share of the layer's largest value, for the first example; infinite where its constants are not in place.
        """
        ...

    def ends(self, tower: Tower) -> dict[str, Any]:
        """The inputs and the output of the file: name, shape, type, and what they mean."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Of the packages that wrote the file, and what the format has of its own."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One runtime."""

    name: str
    suffix: str
    precisions: tuple[ExportPrecision, ...]
    packages: tuple[str, ...]  # of an extra (`extras.py`), which it needs
    exporter: str  # "module:class" below this package
    why_not: Mapping[str, str] = field(default_factory=dict)  # a precision that is refused → the reason

    def open(self) -> Exporter:
        """What writes and runs; MissingExtraError, with the line that installs it, where a package is missing."""
        for package in self.packages:
            if not installed(package):
                raise MissingExtraError(f"exporting to {self.name}", package)
        exporter: Exporter = resolve_name(f"vidsearch.models.conversion.mobile.{self.exporter}")()
        return exporter

    def require_precision(self, precision: str) -> ExportPrecision:
        """VidsearchError for one that is not offered here."""
        for offered in self.precisions:
            if precision == offered:
                return offered
        reason = self.why_not.get(precision, f"{precision!r} is none of its precisions")
        raise VidsearchError(f"{self.name}: {reason}; choose {' or '.join(self.precisions)}")


_APPLE = ("torch", "coremltools")
_GOOGLE = ("torch", "litert_torch", "ai_edge_litert", "ai_edge_quantizer")
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("onnx", ".onnx", ("fp32", "fp16", "int8-weights"), ("torch", "onnx"), "to_onnx:OnnxExporter"),
        Target(
            "executorch",
            ".pte",
            ("fp32", "int8-weights"),
            ("torch", "executorch"),
            "to_executorch:ExecutorchExporter",
            {"fp16": "XNNPACK leaves GELU in fp16 to slow operators, five times slower than fp32"},
        ),
        Target("coreml", ".mlpackage", ("fp16", "fp32", "int8-weights"), _APPLE, "to_coreml:CoremlExporter"),
        Target("coreml-ios18", ".ios18.mlpackage", ("fp16", "fp32", "int8-weights"), _APPLE, "to_coreml:Ios18Exporter"),
        Target("litert", ".tflite", ("fp32", "fp16", "int8-weights"), _GOOGLE, "to_litert:LitertExporter"),
    )
}


def target_named(name: str) -> Target:
    """VidsearchError for a name that is none."""
    if name not in TARGETS:
        raise VidsearchError(f"there is no target {name!r}; choose one of {', '.join(TARGETS)}")
    return TARGETS[name]


def target_of_file(path: Path) -> Target:
    """By the end of the file's name."""
    for target in sorted(TARGETS.values(), key=lambda target: -len(target.suffix)):
        if path.name.endswith(target.suffix):
            return target
    known = ", ".join(target.suffix for target in TARGETS.values())
    raise VidsearchError(f"{path} is no export that vidsearch knows; their names end in {known}")


def tower_names(text: str) -> list[TowerName]:
    """ "clip,text" → its names. VidsearchError for another."""
    known: dict[str, TowerName] = {"clip": "clip", "text": "text"}
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise VidsearchError(f"there is no tower {(wrong or [''])[0]!r}; choose clip, text, or both: clip,text")
    return [known[name] for name in dict.fromkeys(names)]
