"""`vidsearch evaluate questions`: multiple choice and short answers about videos."""

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
    from vidsearch.evaluation.run_questions import QuestionResult

_SETS = "mvbench, egoschema, nextqa-mc, perceptiontest, mlvu, or activitynet-qa."


def questions(
    benchmark: Annotated[str, typer.Argument(metavar="SET", help=_SETS)],
    data: Data,
    model: options.AskModel = DEFAULT_ANSWERING_MODEL,
    limit: Limit = None,
    annotations: Annotations = None,
    cut: Annotated[
        bool, typer.Option("--cut", help="Show only the part of a video that the set names (mvbench, perceptiontest).")
    ] = False,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            parser=options.given_path,
            metavar="FILE",
            help="Write what a judge (activitynet-qa) or the authors' server (egoschema) reads.",
        ),
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(
            "--judged",
            parser=options.given_path,
            metavar="FILE",
            help="A judge's replies (activitynet-qa): records with question_id and reply.",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    as_json: options.Json = False,
) -> None:
    """Answer the questions of a set, with its prompts, and score the answers by its rules."""
    from vidsearch.evaluation.question_scores import judged_scores
    from vidsearch.evaluation.question_sets import question_set
    from vidsearch.evaluation.run_questions import QuestionRequest, evaluate_questions
    from vidsearch.extras import require
    from vidsearch.models.folder import find_model

    known = question_set(benchmark)
    if judged is not None and known.letter is not None:
        raise typer.BadParameter(f"--judged goes with activitynet-qa; the answers of {benchmark} need no judge")
    if answers is not None and benchmark not in ("activitynet-qa", "egoschema"):
        raise typer.BadParameter(f"--answers goes with activitynet-qa and egoschema; nobody else scores {benchmark}")
    require("answering questions", "torch")
    weights = find_model(model, dirs.models_dir(), "vqa").weights
    request = QuestionRequest(benchmark, data, limit, annotations, cut)
    events = evaluate_questions(request, model, weights, lambda: open_answering(model, device, dtype), cache_folder())
    result = watched(events, "questions")
    pairs = [(each.question, each.answer) for each in result.answers]
    judge = {} if judged is None else {"judge": judged_scores(judged, pairs)}
    written = _write(result, answers)
    if as_json:
        content = result.as_dict()
        show.write_json({**content, "metrics": {**content["metrics"], **judge}, "answers": written and str(written)})
    else:
        _show(result, judge)
    end(result)


def _write(result: QuestionResult, wanted: Path | None) -> Path | None:
    """The file for those who score what cannot be scored here; beside the kept answers unless a place was given."""
    from vidsearch.evaluation.question_scores import write_for_judge, write_submission

    path = wanted or cache_folder() / "answers" / result.model / f"{result.set}-for-scoring.json"
    pairs = [(each.question, each.answer) for each in result.answers]
    if result.set == "activitynet-qa":
        write_for_judge(path, pairs)
        show.say(f"The published figures are a judge's. What lmms-eval's judge reads is in {path}.")
        return path
    if result.set == "egoschema":
        without = write_submission(path, pairs)
        more = f"; {without} answers without a letter are 0 in it" if without else ""
        show.say(f"Most answers of egoschema are not public. What the authors' server reads is in {path}{more}.")
        return path
    return None


def _show(result: QuestionResult, judge: dict[str, dict[str, float]]) -> None:
    metrics = result.metrics
    show.write(f"{result.model} on {result.set}: {result.items} questions\n")
    names = ("exact", "normalised") if "exact" in metrics else ("accuracy",)
    tasks = [
        (task, *(f"{own[name]:.1f}" for name in names), str(own["scored"])) for task, own in metrics["tasks"].items()
    ]
    rows = [*tasks, ("all", *(f"{metrics[name]:.1f}" for name in names), str(metrics["scored"]))]
    show.table_or_lines(("", *names, "scored"), rows, right=dict.fromkeys((*names, "scored"), True))
    for name, words in _MORE.items():
        if name in metrics:
            value = metrics[name]
            show.write(f"{words}: {value:.1f}\n" if isinstance(value, float) else f"{words}: {value}\n")
    for own in judge.values():
        show.write(f"by the judge: {own['accuracy']:.1f}, mean score {own['score']:.2f}, {own['unread']} unread\n")
    show_published(result.published, {"accuracy": "accuracy"})
    show.write(f"\n{result.protocol}\n")


_MORE = {
    "without_letter": "answers without a letter",
    "accuracy_with_luck": "with a fifth of those that the original would draw",
    "empty": "empty answers, left out",
    "tasks_scored": "tasks averaged",
    "tasks_total": "tasks of the whole set",
    "pooled": "all questions alike",
    "accuracy_since_2025_03_16": "by lmms-eval's rule since 16 March 2025",
}
