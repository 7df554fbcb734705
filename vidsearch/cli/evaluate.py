"""`vidsearch evaluate`: the figures of the papers' benchmarks, measured on data that are on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch import dirs
from vidsearch.cli import show
from vidsearch.cli.counting import Counting
from vidsearch.cli.options import Device, Json, Model, given_path
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.evaluation.run_retrieval import RetrievalResult

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
    from vidsearch.embedding.embedder import open_clip_embedder, open_text_embedder
    from vidsearch.evaluation.run_retrieval import Progress, RetrievalRequest, evaluate_retrieval
    from vidsearch.models.folder import find_model

    folder = find_model(model, dirs.models_dir(), "embedding")
    request = RetrievalRequest(benchmark, data, limit, annotations)
    clips, texts = open_clip_embedder(model, device=device), open_text_embedder(model)
    cache = dirs.cache_dir() / "evaluation"
    with Counting("videos") as counting:
        for event in evaluate_retrieval(request, clips, texts, cache, folder.weights):
            if isinstance(event, Progress):
                counting.at(event.done, event.total)
            else:
                result = event
    show.write_json(result.as_dict()) if as_json else _show(result)
    _say_what_is_left_out(result)
    if result.unreadable:
        raise typer.Exit(EXIT_SOME_FAILED)


def _show(result: RetrievalResult) -> None:
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


def _figure(figures: object, name: str) -> str:
    value = figures.get(name) if hasattr(figures, "get") else None
    return "" if value is None else f"{value:.1f}"


def _say_what_is_left_out(result: RetrievalResult) -> None:
    if result.missing:
        show.say(f"Left out: {len(result.missing)} videos that are not there: {_some(result.missing)}.")
    if result.unreadable:
        show.say(f"Left out: {len(result.unreadable)} videos that cannot be read:")
        for name, reason in result.unreadable.items():
            show.say(f"  {name}: {reason}")


def _some(names: tuple[str, ...], shown: int = 20) -> str:
    more = f", and {len(names) - shown} more (all with --json)" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
