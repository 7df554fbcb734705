"""`vidsearch query`: words to moments."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidsearch import dirs
from vidsearch.cli import options, show
from vidsearch.cli.hit_asker import HitAsker
from vidsearch.cli.show_hits import HitsFormat, HitsShown
from vidsearch.errors import VidsearchError
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL, DEFAULT_MODEL
from vidsearch.records import Query, Term, Under
from vidsearch.timecode import TimeFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidsearch.embedding.interface import TextEmbedder
    from vidsearch.records import Hit
    from vidsearch.store.interface import Library
    from vidsearch.workflows.relevance import Levels

EXIT_SOME_FAILED = 3


Text = Annotated[str, typer.Argument(metavar="TEXT", help="What to look for; - reads it from stdin.")]
Top = Annotated[int, typer.Option("--top", "-k", min=1, help="How many moments to show.")]
PerVideo = Annotated[int, typer.Option("--per-video", min=1, help="At most so many moments of one video.")]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=-1, max=1, help="Only moments with this score or more, whatever their level."),
]
All = Annotated[bool, typer.Option("--all", help="Also moments that match too little to be shown otherwise.")]
Exact = Annotated[bool, typer.Option("--exact", help="Compare with every window, whatever the library's size.")]
JsonLines = Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line, one for each moment.")]
FilesOnly = Annotated[bool, typer.Option("--files-only", "-f", help="Print each file once, best first.")]
Null = Annotated[bool, typer.Option("-0", help="With -f: end each name with a NUL byte, unchanged.")]
Page = Annotated[
    Path | None,
    typer.Option(
        "--page", parser=options.given_path, metavar="FILE.html", help="Also write a page with pictures and playback."
    ),
]
Questions = Annotated[
    list[str] | None,
    typer.Option("--ask", metavar="QUESTION", help="Ask this about the best moment; repeatable. Can be wrong."),
]
AskTop = Annotated[
    int | None, typer.Option("--ask-top", min=1, metavar="N", help="With --ask: ask about the best N moments.")
]
AskModel = Annotated[
    str | None,
    typer.Option(
        "--ask-model",
        metavar="NAME",
        help=f"With --ask: the model that answers; else VIDSEARCH_ASK_MODEL, else {DEFAULT_ANSWERING_MODEL}.",
    ),
]
Times = Annotated[TimeFormat, typer.Option("--time-format", help="Times as hours:minutes:seconds or as seconds.")]


def query(
    text: Text,
    top: Top = 10,
    per_video: PerVideo = 3,
    under: options.Under = None,
    min_score: MinScore = None,
    show_all: All = False,
    exact: Exact = False,
    model: options.Model = DEFAULT_MODEL,
    as_json: options.Json = False,
    as_jsonl: JsonLines = False,
    files_only: FilesOnly = False,
    null: Null = False,
    page: Page = None,
    questions: Questions = None,
    ask_top: AskTop = None,
    ask_model: AskModel = None,
    time_format: Times = "hms",
) -> None:
    """Find the moments that show what TEXT says.

    On a terminal: a table. In a pipe, one line a moment: number, score, match, start, end, path, separated by tabs.
    Moments below the model's lowest level are left out; --all shows them. Exit code 1 when nothing is found.

    Examples: vidsearch query "dog jumping"; vidsearch query -f0 "red car" | xargs -0 mpv;
    vidsearch query "dog jumping" --ask "what colour is the dog?"
    """
    form = _form(as_json, as_jsonl, files_only, null)
    _check_asking(questions, ask_top, ask_model, names=form in ("names", "names0"))
    asker = HitAsker(questions, ask_top or 1, options.ask_model(ask_model)) if questions else None
    filters = (Under(options.absolute(under)),) if under else ()
    wanted = Query((Term(_words(text)),), filters, top, per_video, min_score, exact)
    only_matching = not show_all and min_score is None
    hits, left_out, levels = _find(wanted, model, only_matching=only_matching)
    if page is not None:
        _write_page(page, wanted.text, hits, levels)
    HitsShown(wanted.text, model, hits, levels, left_out, time_format, asker).write(form)
    _say_what_is_left_out(wanted.text, hits, left_out)
    if hits and only_matching and levels is None:
        _say_that_nobody_measured(model)
    if not hits:
        raise typer.Exit(1)
    if asker and asker.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _form(as_json: bool, as_jsonl: bool, files_only: bool, null: bool) -> HitsFormat:
    if as_json + as_jsonl + (files_only or null) > 1:
        raise typer.BadParameter("choose one of --json, --jsonl and -f/-0")
    chosen: dict[HitsFormat, bool] = {"json": as_json, "jsonl": as_jsonl, "names0": null, "names": files_only}
    return next((form for form, wanted in chosen.items() if wanted), "table")


def _check_asking(questions: list[str] | None, ask_top: int | None, ask_model: str | None, *, names: bool) -> None:
    if questions and names:
        raise typer.BadParameter("-f and -0 print names alone; leave out --ask")
    if not questions and (ask_top is not None or ask_model is not None):
        raise typer.BadParameter(f"{'--ask-model' if ask_top is None else '--ask-top'} goes with --ask")


def _words(text: str) -> str:
    """The words of the query, read from stdin for -. VidsearchError if they are not UTF-8."""
    if text == "-":
        words = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").strip()
    else:
        words = options.typed_text(text)
    try:
        words.encode()
    except UnicodeEncodeError:
        raise VidsearchError(f"The query {words} is not UTF-8 text; write it in UTF-8 and search again.") from None
    return words


def _find(query: Query, model: str, *, only_matching: bool) -> tuple[list[Hit], int, Levels]:
    """The hits to show, how many weaker ones are left out, and the levels of the model's scores.

    The hits are kept as the last ones, for `vidsearch ask NUMBER`.
    """
    from vidsearch.embedding.embedder import open_text_embedder
    from vidsearch.models.folder import find_model
    from vidsearch.models.score_levels import levels_of
    from vidsearch.workflows.query import find_moments
    from vidsearch.workflows.relevance import worth_showing

    with options.open_library() as library:
        levels = levels_of(find_model(model, dirs.models_dir(), "embedding"), dirs.models_dir())
        query = replace(query, filters=tuple(Under(options.known_place(library, it.path)) for it in query.filters))
        embedder = open_text_embedder(model, models_dir=dirs.models_dir())
        for term in query.terms:
            _say_what_is_not_searched(term.text, embedder)
        found = find_moments(library, embedder, query)
        if not found:
            _check_places(library, query)
        hits = worth_showing(found, levels) if only_matching else found
        if not library.save_hits(query.text, hits):
            show.say("vidsearch: The library cannot be written, so ask knows no numbers of these hits; name a file.")
    return hits, len(found) - len(hits), levels


def _say_what_is_left_out(text: str, hits: Sequence[Hit], left_out: int) -> None:
    weaker = f"{left_out} weaker {'moment is' if left_out == 1 else 'moments are'} not shown; --all shows them"
    if not hits:
        show.say(f"Nothing matches {text!r}; {weaker}." if left_out else f"Nothing found for {text!r}.")
    elif left_out:
        show.say(f"{weaker[0].upper()}{weaker[1:]}.")


def _say_that_nobody_measured(model: str) -> None:
    show.say(
        f"Every moment is shown, however weak: what a score of {model} means was never measured "
        "(vidsearch train calibrate --help)."
    )


def _check_places(library: Library, query: Query) -> None:
    """VidsearchError if the library holds no video at a place that was to be searched: it may be misspelt."""
    for place in query.filters:
        if not library.videos(place.path):
            raise options.nothing_under(place.path)


def _write_page(page: Path, text: str, hits: Sequence[Hit], levels: Levels) -> None:
    from vidsearch.workflows.page import result_page

    try:
        page.write_text(result_page(text, hits, levels), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise VidsearchError(f"The result page {page} cannot be written ({error.strerror}).") from error
    show.say(f"Result page: {page}")


def _say_what_is_not_searched(text: str, embedder: TextEmbedder) -> None:
    """The words that the model does not know or does not read any more, on stderr."""
    nothing_left = embedder.knows_none_of(text)
    if words := embedder.unknown_words(text):
        what_now = (
            "put it in words that it knows, or choose another --model" if nothing_left else "it searches without them"
        )
        show.say(f"vidsearch: {embedder.model} does not know: {', '.join(words)}; {what_now}.")
    elif nothing_left:
        show.say("vidsearch: The query has no word that says what to look for.")
    if cut := embedder.unread_words(text):
        show.say(f"vidsearch: The query is too long for {embedder.model}; it searches without: {' '.join(cut)}")
