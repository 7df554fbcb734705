"""`vidsearch evaluate`: the figures of the papers' benchmarks, measured on data that are on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from vidsearch import dirs
from vidsearch.cli import show
from vidsearch.cli.counting import Counting
from vidsearch.cli.options import Device, Json, Model, given_path
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
    from vidsearch.evaluation.run_actions import ActionResult
    from vidsearch.evaluation.run_retrieval import RetrievalResult
    from vidsearch.evaluation.video_vectors import Progress

Result = TypeVar("Result", "RetrievalResult", "ActionResult")

EXIT_SOME_FAILED = 3
_DIRECTIONS = {
    "t2v": "text to video",
    "v2t": "video to text",
    "t2v_dual": "text to video, dual softmax",
    "v2t_dual": "video to text, dual softmax",
}
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure a model on a public benchmark.")

Data = Annotated[
    Path, typer.Option("--data", parser=given_path, metavar="DIR", help="The videos and the authors' annotations.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Only the first N videos.")]
Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", parser=given_path, metavar="FILE", help="The authors' file, if it is elsewhere."),
]


@app.command("retrieval")
def retrieval(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="msrvtt-1ka, didemo, activitynet, lsmdc, or folder.")],
    data: Data,
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find each video by its text, and each text by its video: recall at 1, 5, 10, median and mean rank."""
    from vidsearch.evaluation.run_retrieval import evaluate_retrieval
    from vidsearch.evaluation.video_vectors import SetRequest

    opened = _open(model, device)
    result = _watched(evaluate_retrieval(SetRequest(benchmark, data, limit, annotations), *opened))
    show.write_json(result.as_dict()) if as_json else _show_retrieval(result)
    _end(result)


@app.command("actions")
def actions(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="kinetics400, hmdb51, ucf101, or folder.")],
    data: Data,
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Name what is done in each video, of all classes of the set, zero-shot: top-1, top-5 and their mean."""
    from vidsearch.evaluation.run_actions import evaluate_actions
    from vidsearch.evaluation.video_vectors import SetRequest

    opened = _open(model, device)
    result = _watched(evaluate_actions(SetRequest(benchmark, data, limit, annotations), *opened))
    show.write_json(result.as_dict()) if as_json else _show_actions(result)
    _end(result)


def _open(model: str, device: str) -> tuple[ClipEmbedder, TextEmbedder, Path, Path]:
    """What an evaluation needs of a model: its embedders, the folder of kept vectors, and its weights."""
    from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
    from vidsearch.models.folder import find_model
    from vidsearch.workflows.index import let_waiting_threads_sleep

    let_waiting_threads_sleep()
    weights = find_model(model, dirs.models_dir(), "embedding").weights
    clips, texts = open_clip_embedder(model, device=device), open_text_embedder(model)
    return clips, texts, dirs.cache_dir() / "evaluation", weights


def _watched(events: Iterator[Progress | Result]) -> Result:
    """The last event, with the progress before it on a terminal."""
    from vidsearch.evaluation.video_vectors import Progress

    with Counting("videos") as counting:
        for event in events:
            if not isinstance(event, Progress):
                return event
            counting.at(event.done, event.total)
    raise RuntimeError("an evaluation ends with its result")


def _end(result: RetrievalResult | ActionResult) -> None:
    _say_what_is_left_out(result)
    if result.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def _show_actions(result: ActionResult) -> None:
    show.write(f"{result.model} on {result.set}: {result.items} videos, {result.classes} classes\n")
    names = ("top1", "top5", "avg")
    splits = {**result.splits, "mean": result.metrics} if len(result.splits) > 1 else {"": result.metrics}
    rows = [(split, *(f"{own[name]:.1f}" for name in names)) for split, own in splits.items()]
    headers = ("", "top-1", "top-5", "mean of both")
    show.table_or_lines(headers, rows, right=dict.fromkeys(headers[1:], True))
    if result.published:
        show.write("\npublished top-1\n")
        rows = [(each.model, f"{each.figures['top1']:.1f}", each.note) for each in result.published]
        show.table_or_lines(("", "top-1", ""), rows, right={"top-1": True})
    show.write(f"\n{result.protocol}\n")


def _show_retrieval(result: RetrievalResult) -> None:
    headers = ("", "R@1", "R@5", "R@10", "MdR", "MnR", "R@1 if ties")
    rows = []
    for name, words in _DIRECTIONS.items():
        own = result.metrics[name]
        bounds = f"{own['r1_pessimistic']:.1f}–{own['r1_optimistic']:.1f}"
        values = (own["r1"], own["r5"], own["r10"], own["mdr"], own["mnr"])
        rows.append((words, *(f"{value:.1f}" for value in values), bounds))
    show.write(f"{result.model} on {result.set}: {result.items} videos, {result.texts} texts\n")
    show.table_or_lines(headers, rows, right=dict.fromkeys(headers[1:], True))
    if result.published:
        show.write("\npublished R@1, text to video / video to text\n")
        show.table_or_lines(
            ("", "T2V", "V2T", ""),
            [(each.model, _figure(each.figures, "t2v_r1"), _figure(each.figures, "v2t_r1"), each.note)
             for each in result.published],
            right={"T2V": True, "V2T": True},
        )  # fmt: skip
    show.write(f"\n{result.protocol}\n")


def _figure(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.1f}" if name in figures else ""


def _say_what_is_left_out(result: RetrievalResult | ActionResult) -> None:
    if result.missing:
        show.say(f"Left out: {len(result.missing)} videos that are not there: {_some(result.missing)}.")
    if result.unreadable:
        show.say(f"Left out: {len(result.unreadable)} videos that cannot be read:")
        for name, reason in result.unreadable.items():
            show.say(f"  {name}: {reason}")


def _some(names: tuple[str, ...], shown: int = 20) -> str:
    more = f", and {len(names) - shown} more (all with --json)" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
