"""`vidsearch query`: words to moments."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidsearch import places
from vidsearch.cli import options, show
from vidsearch.cli.ask import HitAsker
from vidsearch.errors import VidsearchError
from vidsearch.records import Query, Term, Under

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidsearch.records import Hit

JSON_VERSION = 1
EXIT_SOME_FAILED = 3

Levels = Mapping[str, float] | None  # cosines from which a hit counts as high, medium or low


def query(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for; - reads it from stdin.")],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many moments to show.")] = 10,
    per_video: Annotated[int, typer.Option("--per-video", min=1, help="At most so many moments of one video.")] = 3,
    under: options.Under = None,
    min_score: Annotated[
        float | None, typer.Option("--min-score", min=-1, max=1, help="Only moments with this score or more.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every window, whatever the library's size.")
    ] = False,
    model: options.Model = options.DEFAULT_MODEL,
    as_json: options.Json = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object a line, one for each moment.")
    ] = False,
    files_only: Annotated[bool, typer.Option("--files-only", "-f", help="Print each file once, best first.")] = False,
    null: Annotated[bool, typer.Option("-0", help="With -f: end each name with a NUL byte, unchanged.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE.html", help="Also write a page with pictures and playback.")
    ] = None,
    questions: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="QUESTION", help="Ask this about the best moment; repeatable. Can be wrong."),
    ] = None,
    ask_top: Annotated[
        int | None, typer.Option("--ask-top", min=1, metavar="N", help="With --ask: ask about the best N moments.")
    ] = None,
    ask_model: Annotated[
        str | None,
        typer.Option(
            "--ask-model",
            metavar="NAME",
            help=f"With --ask: the model that answers; else VIDSEARCH_ASK_MODEL, else {options.DEFAULT_ASK_MODEL}.",
        ),
    ] = None,
    time_format: Annotated[
        options.TimeFormat, typer.Option("--time-format", help="Times as hours:minutes:seconds or as seconds.")
    ] = options.TimeFormat.hms,
) -> None:
    """Find the moments that show what TEXT says.

    On a terminal: a table. In a pipe, one line a moment: number, score, match, start, end, path, separated by tabs.
    Exit code 1 when nothing is found.

    Examples: vidsearch query "dog jumping"; vidsearch query -f0 "red car" | xargs -0 mpv;
    vidsearch query "dog jumping" --ask "what colour is the dog?"
    """
    from vidsearch.embedding.embedder import open_text_embedder
    from vidsearch.models.folder import find_model
    from vidsearch.workflows.query import find_moments

    if as_json + as_jsonl + (files_only or null) > 1:
        raise typer.BadParameter("choose one of --json, --jsonl and -f/-0")
    if questions and (files_only or null):
        raise typer.BadParameter("-f and -0 print names alone; leave out --ask")
    if not questions and (ask_top is not None or ask_model is not None):
        raise typer.BadParameter(f"{'--ask-model' if ask_top is None else '--ask-top'} goes with --ask")
    if text == "-":
        text = sys.stdin.read().strip()
    asker = HitAsker(questions, ask_top or 1, options.ask_model(ask_model)) if questions else None
    filters = (Under(options.absolute(under)),) if under else ()
    wanted = Query((Term(text),), filters, top, per_video, min_score, exact)
    with options.open_library() as library:
        levels = find_model(model, places.models_dir(), "search").score_levels
        embedder = open_text_embedder(model, models_dir=places.models_dir())
        _warn_of_unknown_words(embedder.unknown_words(text), model, searches=not embedder.knows_none_of(text))
        hits = find_moments(library, embedder, wanted)
        library.save_hits(wanted.text, hits)

    if page is not None:
        _write_page(page, text, hits)
    described = (as_dict(hit, levels) | (asker.as_dict(hit) if asker else {}) for hit in hits)
    if as_json:
        show.write_json({"version": JSON_VERSION, "query": text, "model": model, "hits": list(described)})
    elif as_jsonl:
        for line in described:
            show.write_json(line)
    elif files_only or null:
        end = "\0" if null else "\n"
        show.write("".join(f"{path}{end}" for path in dict.fromkeys(hit.path for hit in hits)))
    elif asker:
        for hit in hits:
            show_hits([hit], levels, time_format, header=hit is hits[0])
            asker.show(hit)
    else:
        show_hits(hits, levels, time_format)
    if not hits:
        show.say(f"Nothing found for {text!r}.")
        raise typer.Exit(1)
    if asker and asker.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def match_level(score: float, levels: Levels) -> str | None:
    """How much a score means for this model: high, medium, low or none; None where nobody has measured it."""
    if levels is None:
        return None
    return next((name for name in ("high", "medium", "low") if score >= levels[name]), "none")


def as_dict(hit: Hit, levels: Levels) -> dict[str, Any]:
    """The stable JSON form of a hit; documented in docs/json.md."""
    return {
        "number": hit.number,
        "path": str(hit.path),
        "start_s": round(hit.start_s, 3),
        "end_s": round(hit.end_s, 3),
        "best_s": round(hit.best_s, 3),
        "score": round(hit.score, 4),
        "level": match_level(hit.score, levels),
        "model": hit.model,
        "offline": hit.offline,
    }


def show_hits(hits: Sequence[Hit], levels: Levels, time_format: options.TimeFormat, *, header: bool = True) -> None:
    """A table, on a terminal under a header; a line for each hit in a pipe."""
    rows = [
        (
            str(hit.number),
            f"{hit.score:.3f}",
            match_level(hit.score, levels) or "-",
            show.time_text(hit.start_s, time_format.value),
            show.time_text(hit.end_s, time_format.value),
            f"{hit.path} (offline)" if hit.offline and sys.stdout.isatty() else str(hit.path),
        )
        for hit in hits
    ]
    names = ("#", "score", "match", "start", "end", "file")
    show.table_or_lines(
        names if header else ("",) * len(names), rows, right={"#": True, "start": True, "end": True} if header else {}
    )


def _write_page(page: Path, text: str, hits: Sequence[Hit]) -> None:
    from vidsearch.workflows.page import result_page

    try:
        page.write_text(result_page(text, hits), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise VidsearchError(f"The result page {page} cannot be written ({error.strerror}).") from error
    show.say(f"Result page: {page}")


def _warn_of_unknown_words(words: list[str], model: str, *, searches: bool) -> None:
    if words:
        what_now = (
            "it searches without them" if searches else "put it in words that it knows, or choose another --model"
        )
        show.say(f"vidsearch: {model} does not know: {', '.join(words)}; {what_now}.")
