"""Options that several commands share: flag, then VIDSEARCH_* variable, then default."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vidsearch import dirs, files, settings
from vidsearch.cli import completing, show
from vidsearch.cli.late import typer
from vidsearch.errors import VidsearchError
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL, DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.store.interface import Library


def given_path(text: str) -> Path:
    """A path that was typed. BadParameter for an empty one: pathlib would take it for the current folder."""
    if not text:
        raise typer.BadParameter("the path is empty; write . for the current folder")
    return Path(text)


def known_place(library: Library, path: Path) -> Path:
    """A path as the library names it: also one that leads there through a link."""
    return files.within_known(absolute(path), library.roots())


def nothing_under(path: Path) -> VidsearchError:
    """The error for a place of which the library holds no video."""
    return VidsearchError(f"The library holds nothing under {path}; see vidsearch videos.")


def typed_text(text: str) -> str:
    """An argument as UTF-8 text whatever the locale; a byte that is not UTF-8 stays a lone surrogate."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="VIDSEARCH_MODEL",
        metavar="NAME",
        help="The model to search with.",
        autocompletion=completing.models,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", callback=show.keep_quiet, help="Print results and errors alone."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Under = Annotated[
    Path | None,
    typer.Option("--under", parser=given_path, metavar="PATH", help="Only videos in this folder, or this one file."),
]


def _known_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise typer.BadParameter(f"{name!r} is not a device; choose auto, cpu, cuda, cuda:N or mps")
    return name


Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="VIDSEARCH_DEVICE",
        metavar="NAME",
        callback=_known_device,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
]


def one_of(*names: str) -> Callable[[str], str]:
    """The callback of an option that takes one of a few words."""

    def checked(name: str) -> str:
        if name not in names:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(names)}")
        return name

    return checked


def search_model() -> str:
    """The model that searches for a command without --model: variable, then config file, then default."""
    return os.environ.get("VIDSEARCH_MODEL") or settings.load().shared().get("model") or DEFAULT_MODEL


def ask_model(given: str | None) -> str:
    """The model that answers for a command where it is not the first thing: flag, variable, config file, default."""
    return (
        given
        or os.environ.get("VIDSEARCH_ASK_MODEL")
        or settings.load().shared().get("ask-model")
        or DEFAULT_ANSWERING_MODEL
    )


def device_of_environment() -> str:
    """The device for a command without --device: variable, config file, auto. BadParameter where it is none."""
    return _known_device(os.environ.get("VIDSEARCH_DEVICE") or settings.load().shared().get("device") or "auto")


Runtime = Annotated[
    str,
    typer.Option(
        "--runtime",
        envvar="VIDSEARCH_RUNTIME",
        metavar="auto|torch|onnx",
        callback=one_of("auto", "torch", "onnx"),
        help="What runs the network; onnx needs no torch. auto: what was measured to be the quickest here.",
    ),
]
AskModel = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="VIDSEARCH_ASK_MODEL",
        metavar="NAME",
        help="The model that answers.",
        autocompletion=completing.models,
    ),
]
Coverage = Annotated[
    str,
    typer.Option(
        metavar="reference|full",
        callback=one_of("reference", "full"),
        help="reference: as the model was trained, the end of a short range may be left out. full: all of it.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="NAME",
        callback=one_of("auto", "float32", "bfloat16", "int8"),
        help="auto, float32, bfloat16, or int8 (weights of the language model alone, on a CPU).",
    ),
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="An answer has at most so many tokens.")]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, help="0: the likeliest words, always the same; above: drawn.")
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**63 - 1, help="Draws the same words again, with --temperature."),
]


def _limit_decoders(megabytes: int | None) -> int | None:
    """For the whole process: whatever opens decoding workers finds the limit where a user would have set it."""
    if megabytes is not None:
        os.environ["VIDSEARCH_DECODER_MB"] = str(megabytes)
    return megabytes


DecoderMemory = Annotated[
    int | None,
    typer.Option(
        "--decoder-memory",
        envvar="VIDSEARCH_DECODER_MB",
        min=100,
        metavar="MB",
        callback=_limit_decoders,
        help="Memory that decoding one video may take; default: 2000.",
    ),
]


def absolute(path: Path) -> Path:
    """The path as the library stores it: absolute, `~` expanded, `..` removed, symbolic links left as they are."""
    return files.absolute(path.expanduser())


def open_library(folder: Path | None = None, *, create: bool = False) -> Library:
    """The library in `VIDSEARCH_HOME`, or in a folder."""
    from vidsearch.store.library import open_library as open_at

    return open_at(folder or dirs.home_dir(), create=create)
