"""`vidsearch evaluate`: the figures of the papers' benchmarks, measured on data that are on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import evaluate_captions, evaluate_grounding, evaluate_questions, evaluate_settle, show
from vidsearch.cli.evaluate_common import (
    Annotations,
    Data,
    Limit,
    MeanStd,
    Resize,
    Tpe,
    end,
    open_embedders,
    show_published,
    variant_text,
    watched,
)
from vidsearch.cli.options import Device, Json, Model
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.evaluation.run_actions import ActionResult
    from vidsearch.evaluation.run_retrieval import RetrievalResult

_DIRECTIONS = {
    "t2v": "text to video",
    "v2t": "video to text",
    "t2v_dual": "text to video, dual softmax",
    "v2t_dual": "video to text, dual softmax",
}
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure a model on a public benchmark.")
app.command("questions")(evaluate_questions.questions)
app.command("grounding")(evaluate_grounding.grounding)
app.command("captions")(evaluate_captions.captions)
app.command("settle")(evaluate_settle.settle)
app.command("features")(evaluate_grounding.features)


@app.command("retrieval")
def retrieval(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="msrvtt-1ka, didemo, activitynet, lsmdc, or folder.")],
    data: Data,
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    mean_std: MeanStd = None,
    tpe: Tpe = None,
    resize: Resize = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find each video by its text, and each text by its video: recall at 1, 5, 10, median and mean rank."""
    from vidsearch.evaluation.run_retrieval import evaluate_retrieval
    from vidsearch.evaluation.video_vectors import SetRequest

    open_settings = (mean_std, tpe, resize)
    opened = open_embedders(model, device, *open_settings)
    request = SetRequest(benchmark, data, limit, annotations, variant_text(*open_settings))
    result = watched(evaluate_retrieval(request, *opened))
    show.write_json(result.as_dict()) if as_json else _show_retrieval(result)
    end(result)


@app.command("actions")
def actions(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="kinetics400, hmdb51, ucf101, or folder.")],
    data: Data,
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    mean_std: MeanStd = None,
    tpe: Tpe = None,
    resize: Resize = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Name what is done in each video, of all classes of the set, zero-shot: top-1, top-5 and their mean."""
    from vidsearch.evaluation.run_actions import evaluate_actions
    from vidsearch.evaluation.video_vectors import SetRequest

    open_settings = (mean_std, tpe, resize)
    opened = open_embedders(model, device, *open_settings)
    request = SetRequest(benchmark, data, limit, annotations, variant_text(*open_settings))
    result = watched(evaluate_actions(request, *opened))
    show.write_json(result.as_dict()) if as_json else _show_actions(result)
    end(result)


def _show_actions(result: ActionResult) -> None:
    show.write(f"{result.model} on {result.set}: {result.items} videos, {result.classes} classes\n")
    names = ("top1", "top5", "avg")
    splits = {**result.splits, "mean": result.metrics} if len(result.splits) > 1 else {"": result.metrics}
    rows = [(split, *(f"{own[name]:.1f}" for name in names)) for split, own in splits.items()]
    headers = ("", "top-1", "top-5", "mean of both")
    show.table_or_lines(headers, rows, right=dict.fromkeys(headers[1:], True))
    show_published(result.published, {"top1": "top-1"})
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
    show_published(result.published, {"t2v_r1": "R@1 T2V", "v2t_r1": "R@1 V2T"})
    show.write(f"\n{result.protocol}\n")
