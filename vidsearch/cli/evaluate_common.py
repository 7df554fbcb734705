"""What the commands of `vidsearch evaluate` share: their options, the bar, and what is said of videos left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar, cast

import typer

from vidsearch import dirs
from vidsearch.cli import show
from vidsearch.cli.counting import Counting
from vidsearch.cli.options import given_path
from vidsearch.errors import EXIT_SOME_FAILED

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer, ComputePrecision
    from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
    from vidsearch.evaluation.published import Published
    from vidsearch.evaluation.video_vectors import Progress

_NAMES_SHOWN = 20


class LeavesOut(Protocol):
    """A result that says which videos are not in its figures."""

    @property
    def missing(self) -> tuple[str, ...]: ...

    @property
    def unreadable(self) -> dict[str, str]: ...


Result = TypeVar("Result")

Data = Annotated[
    Path, typer.Option("--data", parser=given_path, metavar="DIR", help="The videos and the authors' annotations.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N items.")]
Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", parser=given_path, metavar="FILE", help="The authors' file, if it is elsewhere."),
]


def cache_folder() -> Path:
    """Where vectors and answers are kept."""
    return dirs.cache_dir() / "evaluation"


def _one_of(*names: str) -> Callable[[str | None], str | None]:
    def checked(name: str | None) -> str | None:
        if name is not None and name not in names:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(names)}")
        return name

    return checked


# What upstream leaves open; each says for one run what the model's folder says otherwise (`embedding/variants.py`).
MeanStd = Annotated[
    str | None,
    typer.Option(
        "--mean-std",
        metavar="NAME",
        callback=_one_of("imagenet", "clip", "none"),
        help="Normalise pixels so: imagenet, clip or none; default: as the model's folder says.",
    ),
]
Tpe = Annotated[
    str | None,
    typer.Option(
        "--tpe",
        metavar="PLACE",
        callback=_one_of("before", "after"),
        help="The temporal encoding enters before or after the position convolution; default: as above.",
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        "--resize",
        metavar="WAY",
        callback=_one_of("squash", "centre-crop", "bilinear", "bicubic", "bicubic-antialias"),
        help="squash or centre-crop by the reader; bilinear, bicubic or bicubic-antialias by torch; default: as above.",
    ),
]


def open_embedders(
    model: str, device: str, mean_std: str | None = None, tpe: str | None = None, resize: str | None = None
) -> tuple[ClipEmbedder, TextEmbedder, Path, Path]:
    """What an evaluation needs of a model: its embedders, the folder of kept vectors, and its weights."""
    from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
    from vidsearch.machine import let_waiting_threads_sleep
    from vidsearch.models.folder import find_model

    let_waiting_threads_sleep()
    weights = find_model(model, dirs.models_dir(), "embedding").weights
    texts = open_text_embedder(model)
    if (mean_std, tpe, resize) == (None, None, None):
        return open_clip_embedder(model, device=device), texts, cache_folder(), weights
    from vidsearch.embedding.variants import Variant, open_variant

    return open_variant(model, Variant(mean_std, tpe, resize), device=device), texts, cache_folder(), weights


def variant_text(mean_std: str | None, tpe: str | None, resize: str | None) -> str:
    """What is done otherwise than the model's folder says, as kept vectors and results tell it."""
    named = (("mean_std", mean_std), ("tpe", tpe), ("resize", resize))
    return ", ".join(f"{name} {value}" for name, value in named if value is not None)


def open_answering(model: str, device: str, dtype: str) -> Answerer:
    """The model that answers, as `vidsearch ask` opens it."""
    from vidsearch.answering.answerer import open_answerer
    from vidsearch.cli.memory import keep_freed_memory

    keep_freed_memory()
    return open_answerer(model, device=device, precision=cast("ComputePrecision", dtype))


def watched(events: Iterator[Progress | Result], what: str = "videos") -> Result:
    """The last event, with the progress before it on a terminal: how many of `what` are done, and the time left."""
    from vidsearch.evaluation.video_vectors import Progress

    with Counting(what) as counting:
        for event in events:
            if not isinstance(event, Progress):
                return event
            counting.at(event.done, event.total)
    raise RuntimeError("an evaluation ends with its result")


def end(result: LeavesOut, lack: str = "are not there") -> None:
    """Say what the figures leave out; exit code 3 if some videos could not be read. `lack`: of those left out."""
    if result.missing:
        show.say(f"Left out: {len(result.missing)} videos that {lack}: {_some(result.missing)}.")
    if result.unreadable:
        show.say(f"Left out: {len(result.unreadable)} videos that cannot be read:")
        for name, reason in result.unreadable.items():
            show.say(f"  {name}: {reason}")
        raise typer.Exit(EXIT_SOME_FAILED)


def _some(names: tuple[str, ...]) -> str:
    more = f", and {len(names) - _NAMES_SHOWN} more (all with --json)" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def show_published(rows: tuple[Published, ...], columns: Mapping[str, str]) -> None:
    """What others published, a column a figure: its name → its header."""
    if not rows:
        return
    show.write(f"\npublished {', '.join(columns.values())}\n")
    shown = [(each.model, *(figure(each.figures, name) for name in columns), each.note) for each in rows]
    show.table_or_lines(("", *columns.values(), ""), shown, right=dict.fromkeys(columns.values(), True))


def figure(figures: Mapping[str, float], name: str) -> str:
    """A figure with one decimal, as papers print it; nothing where there is none."""
    return f"{figures[name]:.1f}" if name in figures else ""
