"""`vidsearch evaluate settle`: which of the settings that the paper leaves open fits the weights at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from vidsearch import dirs
from vidsearch.cli import show
from vidsearch.cli.evaluate_common import Annotations, Data, cache_folder, watched
from vidsearch.cli.late import typer
from vidsearch.cli.options import Device, Json, Model
from vidsearch.models.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from vidsearch.evaluation.settle import Settled, Trials
    from vidsearch.models.folder import ModelFolder


def settle(
    data: Data,
    benchmark: Annotated[
        str, typer.Option("--set", metavar="SET", help="The set of captioned clips, as of evaluate retrieval.")
    ] = "msrvtt-1ka",
    model: Model = DEFAULT_MODEL,
    limit: Annotated[int, typer.Option("--limit", min=2, metavar="N", help="Only the first N videos.")] = 300,
    annotations: Annotations = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare the batch norms' memory and recall at 1 under each setting that is open, and say which one fits."""
    from vidsearch.embedding.embedder import open_text_embedder
    from vidsearch.evaluation.settle import settle as settle_settings
    from vidsearch.evaluation.video_vectors import SetRequest
    from vidsearch.machine import let_waiting_threads_sleep
    from vidsearch.models.folder import find_model

    let_waiting_threads_sleep()
    folder = find_model(model, dirs.models_dir(), "embedding")
    texts = open_text_embedder(model)
    request = SetRequest(benchmark, data, limit, annotations)
    events = settle_settings(request, _trials(folder, device), texts, cache_folder(), folder.weights)
    result = watched(events, "combinations")
    show.write_json(result.as_dict()) if as_json else _show(result)


def _trials(folder: ModelFolder, device: str) -> Trials:
    from vidsearch.embedding.batch_norms import norm_fits
    from vidsearch.embedding.variants import MEAN_STD, RESIZES, TPE_PLACES, Variant, VariantEmbedder, variant_folder
    from vidsearch.evaluation.settle import Trials

    temporal = folder.network.get("temporal") or {}
    movable = temporal.get("tpe", False) and temporal.get("tpe_place", "after") != "block"
    return Trials(
        tuple(MEAN_STD),
        TPE_PLACES if movable else (),
        tuple(way for way in RESIZES if way != "centre-crop"),
        lambda setting: VariantEmbedder(folder, Variant(**setting), device=device),
        lambda mean_std, clips: norm_fits(variant_folder(folder, Variant(mean_std)), clips),
    )


def _show(result: Settled) -> None:
    show.write(f"{result.model}: batch norms, distance of the means in standard deviations, of the variances in log\n")
    parts = list(result.fingerprints[0].parts)
    rows = [
        (own.mean_std, f"{own.mean:.2f}", f"{own.variance:.2f}", *(f"{own.parts[part]:.2f}" for part in parts))
        for own in result.fingerprints
    ]
    headers = ("mean and std", "means", "variances", *parts)
    show.table_or_lines(headers, rows, right=dict.fromkeys(headers[1:], True))
    clear = "they tell" if result.decided else "they do not tell clearly, so all were tried"
    show.write(f"{clear}\n\nR@1 of {result.items} videos, plain and dual softmax\n")
    names = list(result.combinations[0].setting)
    shown = sorted(result.combinations, key=lambda own: -own.plain)
    cells = [
        (*own.setting.values(), *(f"{value:.1f}" for value in (own.t2v, own.v2t, own.t2v_dual, own.v2t_dual)))
        for own in shown
    ]
    figures = ("T2V", "V2T", "T2V dual", "V2T dual")
    show.table_or_lines((*names, *figures), cells, right=dict.fromkeys(figures, True))
    best = result.best
    equal = sum(own.plain == best.plain for own in result.combinations) - 1
    more = f"; {equal} other combinations are as good" if equal else ""
    show.write("\nfits best: " + ", ".join(f"{name} {value}" for name, value in best.setting.items()) + f"{more}\n")
