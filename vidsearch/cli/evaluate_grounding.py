"""`vidsearch evaluate grounding` and `features`: moments in videos, and what other programs need to look for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch.cli import show
from vidsearch.cli.evaluate_common import Annotations, Data, Limit, end, open_embedders, show_published, watched
from vidsearch.cli.options import Device, Json, Model, given_path
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.evaluation.run_grounding import GroundingResult


def _span(seconds: float) -> float:
    if not 0.1 <= seconds <= 3600:
        raise typer.BadParameter(f"{seconds:g} is not from 0.1 to 3600 seconds")
    return seconds


def grounding(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="qvhighlights, or charades-sta.")],
    data: Data,
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    window: Annotated[
        float, typer.Option("--window", callback=_span, metavar="SECONDS", help="Length of a window, as in index.")
    ] = 8.0,
    stride: Annotated[
        float, typer.Option("--stride", callback=_span, metavar="SECONDS", help="A new window every ...")
    ] = 4.0,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions", parser=given_path, metavar="FILE", help="Write the moments as moment_detr reads them."
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the moments of a video by a sentence, zero-shot, as a query does: R@1 and mAP by intersection over union."""
    from vidsearch.evaluation.run_grounding import GroundingRequest, evaluate_grounding, write_predictions

    if stride > window:
        raise typer.BadParameter(f"--stride {stride:g} is longer than --window {window:g}")
    request = GroundingRequest(benchmark, data, limit, annotations, window, stride)
    result = watched(evaluate_grounding(request, *open_embedders(model, device)))
    if predictions is not None:
        write_predictions(predictions, result.answers)
    show.write_json(result.as_dict()) if as_json else _show(result)
    end(result)


def features(
    data: Data,
    out: Annotated[Path, typer.Option("--out", parser=given_path, metavar="DIR", help="Where the features go.")],
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="qvhighlights.")] = "qvhighlights",
    model: Model = DEFAULT_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write features of videos and queries for programs that are trained on them, moment_detr and its kin."""
    from vidsearch.evaluation.features import FeaturesRequest, write_features

    request = FeaturesRequest(form, data, out, limit, annotations)
    result = watched(write_features(request, *open_embedders(model, device)))
    if as_json:
        show.write_json(result.as_dict())
    else:
        show.write(f"{result.videos} videos and {result.queries} queries by {result.model} in {result.folder}\n")
    end(result)


def _show(result: GroundingResult) -> None:
    show.write(f"{result.model} on {result.set}: {result.items} queries\n")
    rows = [(_NAMES.get(name, name), f"{value:.1f}") for name, value in result.metrics.items()]
    show.table_or_lines(("", "percent"), rows, right={"percent": True})
    columns = {"r1@0.5": "R@1 at 0.5", "r1@0.7": "R@1 at 0.7", "map": "mAP"}
    show_published(result.published, columns)
    show.write(f"\n{result.protocol}\n")


_LEVELS = ("fair", "good", "very_good")
_NAMES = {
    **{f"r1@{threshold}": f"R@1 at IoU {threshold}" for threshold in ("0.3", "0.5", "0.7")},
    "miou": "mean IoU of the first moment",
    "map": "mAP, IoU 0.5 to 0.95",
    **{f"map@{threshold}": f"mAP at IoU {threshold}" for threshold in ("0.5", "0.75")},
    **{f"map_{name}": f"mAP of {name} moments" for name in ("short", "middle", "long")},
    **{f"hit1_{name}": f"highlights, hit@1, {name.replace('_', ' ')}" for name in _LEVELS},
    **{f"highlight_map_{name}": f"highlights, mAP, {name.replace('_', ' ')}" for name in _LEVELS},
}
