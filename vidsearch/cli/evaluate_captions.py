"""`vidsearch evaluate captions`: what the answering model says of videos, against what people said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch import dirs
from vidsearch.cli import options, show
from vidsearch.cli.evaluate_common import (
    Annotations,
    Data,
    Limit,
    cache_folder,
    end,
    open_answering,
    show_published,
    watched,
)
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL

if TYPE_CHECKING:
    from vidsearch.evaluation.run_captions import CaptionResult

_NAMES = {
    **{f"bleu{n}": f"BLEU-{n}" for n in range(1, 5)},
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
}


def captions(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help="msrvtt, or folder.")],
    data: Data,
    model: options.AskModel = DEFAULT_ANSWERING_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="What the model is asked for a caption.")
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            "--candidates",
            parser=options.given_path,
            metavar="FILE",
            help="Score these captions, made elsewhere: records with video_id and caption.",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Caption videos and score the captions against people's: BLEU, METEOR (needs Java), ROUGE-L and CIDEr."""
    from vidsearch.evaluation.caption_scores import NO_JAVA, has_java
    from vidsearch.evaluation.run_captions import PROMPT, CaptionRequest, evaluate_captions
    from vidsearch.extras import require
    from vidsearch.models.folder import find_model

    request = CaptionRequest(benchmark, data, limit, annotations, prompt or PROMPT, candidates)
    if not candidates:
        require("captioning", "torch")
    weights = Path() if candidates else find_model(model, dirs.models_dir(), "vqa").weights
    events = evaluate_captions(request, model, weights, lambda: open_answering(model, device, dtype), cache_folder())
    result = watched(events)
    if not has_java():
        show.say(f"{NO_JAVA}.")
    show.write_json(result.as_dict()) if as_json else _show(result)
    end(result, f"have no caption in {candidates}" if candidates else "are not there")


def _show(result: CaptionResult) -> None:
    show.write(f"{result.model} on {result.set}: {result.items} videos\n")
    rows = [(words, f"{result.metrics[name]:.1f}") for name, words in _NAMES.items() if name in result.metrics]
    show.table_or_lines(("", "times 100"), rows, right={"times 100": True})
    show_published(result.published, {name: _NAMES[name] for name in ("bleu4", "meteor", "rouge_l", "cider")})
    show.write(f"\n{result.protocol}\n")
