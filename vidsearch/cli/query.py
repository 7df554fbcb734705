"""`vidsearch query`: words to moments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vidsearch.cli import options, query_options, show
from vidsearch.cli.finding import find, say_what_is_left_out
from vidsearch.cli.late import typer
from vidsearch.cli.pictures import Pictures, closing_pictures
from vidsearch.cli.query_options import Given, changed, given, places_of
from vidsearch.cli.show_hits import HitsFormat, HitsShown, chosen_form
from vidsearch.errors import EXIT_NOTHING_FOUND, EXIT_SOME_FAILED, VidsearchError
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL, DEFAULT_MODEL
from vidsearch.query_text.reading import parse_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidsearch.cli.hit_asker import HitAsker
    from vidsearch.records import Hit
    from vidsearch.workflows.relevance import Levels

All = Annotated[bool, typer.Option("--all", help="Also moments that match too little to be shown otherwise.")]
Page = Annotated[
    Path | None,
    typer.Option(
        "--page", parser=options.given_path, metavar="FILE.html", help="Also write a page with pictures and playback."
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the best moment in a player, at its time.")]
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
Line = Annotated[
    str | None,
    typer.Option("--line", metavar="LINE", help="The whole query as one line, as in a file of --queries."),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        parser=options.given_path,
        metavar="FILE",
        help="Answer the queries of a file, one a line (- is stdin), each with one line of JSON.",
    ),
]


def query(
    pieces: query_options.Pieces = None,
    add: query_options.Add = None,
    subtract: query_options.Subtract = None,
    like: query_options.Like = None,
    under: query_options.Under_ = None,
    under_from: query_options.UnderFrom = None,
    not_under: query_options.NotUnder_ = None,
    name: query_options.Name = None,
    ext: query_options.Ext = None,
    since: query_options.Since = None,
    until: query_options.Until = None,
    min_duration: query_options.MinDuration = None,
    max_duration: query_options.MaxDuration = None,
    min_height: query_options.MinHeight = None,
    reader: query_options.Reader = None,
    top: query_options.Top = 10,
    per_video: query_options.PerVideo = 3,
    min_score: query_options.MinScore = None,
    show_all: All = False,
    sort: query_options.Sort = "score",
    group: query_options.Group = None,
    duplicates: query_options.Duplicates = False,
    exact: query_options.Exact = False,
    model: options.Model = DEFAULT_MODEL,
    as_json: options.Json = False,
    as_jsonl: query_options.JsonLines = False,
    files_only: query_options.FilesOnly = False,
    null: query_options.Null = False,
    pattern: query_options.LineFormat = None,
    page: Page = None,
    opened: Open = False,
    pictures: Pictures = "never",
    questions: Questions = None,
    ask_top: AskTop = None,
    ask_model: AskModel = None,
    time_format: query_options.Times = "hms",
    queries: Queries = None,
    line: Line = None,
    quiet: options.Quiet = False,
) -> None:
    """Find the moments that show what TEXT says.

    Words in a row are one thing to look for. -TEXT takes something away, 0.5:TEXT adds half as much of it, like:WHAT is
    like a picture, a clip, a part of it (clip.mp4@00:12-00:20) or a hit's number; write -- before the first -TEXT.

    On a terminal: a table. In a pipe, one line a moment: number, score, match, start, end, path, separated by tabs.
    Moments below the model's lowest level are left out; --all shows them. Exit code 1 when nothing is found.

    Examples: vidsearch query "dog jumping"; vidsearch query -f0 "red car" | xargs -0 mpv;
    vidsearch query "dog jumping" --ask "what colour is the dog?"; vidsearch query "dog" --since 2025-07 -- -snow
    """
    if not given(pieces, add, subtract, like, queries, line):
        raise typer.BadParameter("Missing argument 'TEXT'; write what to look for, or --like a picture or clip")
    form = chosen_form(as_json, as_jsonl, files_only, null, pattern)
    _check_asking(questions, ask_top, ask_model, form)
    asker = _asker(questions, ask_top or 1, options.ask_model(ask_model)) if questions else None
    options_given = Given(
        pieces or (),
        given(add, subtract, like),
        places_of(under_from)
        + given(under, not_under, name, ext, since, until, min_duration, max_duration, min_height, reader),
        changed(
            top=top,
            per_video=per_video,
            min_score=min_score,
            sort=sort,
            group=group,
            duplicates=duplicates,
            exact=exact,
        ),
    )
    if queries is not None:
        from vidsearch.cli.many_queries import answer_many  # late, as what else most queries do not do

        _check_many(pieces, form, asker, page)
        raise typer.Exit(answer_many(queries, options_given, model, show_all=show_all))
    if line is not None and pieces:
        raise typer.BadParameter("--line has the whole query; leave out TEXT")
    wanted = options_given.query() if line is None else options_given.with_options(parse_query(line))
    if asker is not None and wanted.group is not None:
        raise typer.BadParameter("--ask puts its questions to moments; leave out --group")
    only_matching = not show_all and wanted.min_score is None
    found = find(wanted, model, only_matching=only_matching)
    if page is not None:
        _write_page(page, wanted.text, found.hits, found.levels)
    drawn = form == "table" and bool(found.hits) and wanted.group is None
    with closing_pictures(pictures if drawn else "never") as drawing:
        HitsShown(found, time_format, asker, pattern, drawing).write(form)
    say_what_is_left_out(found, only_matching=only_matching)
    if not found.hits:
        raise typer.Exit(EXIT_NOTHING_FOUND)
    if opened:
        from vidsearch.cli.open import open_in_player

        open_in_player(found.hits[0], None)
    if asker and asker.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _asker(questions: list[str], top: int, model: str) -> HitAsker:
    from vidsearch.cli.hit_asker import HitAsker  # late: most queries ask nothing

    return HitAsker(questions, top, model)


def _check_many(pieces: list[str] | None, form: HitsFormat, asker: HitAsker | None, page: Path | None) -> None:
    if pieces or asker or page:
        raise typer.BadParameter("--queries has the queries in a file; leave out TEXT, --ask and --page")
    if form not in ("table", "jsonl"):
        raise typer.BadParameter("--queries prints one JSON object a query; leave out the other forms")


def _check_asking(questions: list[str] | None, ask_top: int | None, ask_model: str | None, form: HitsFormat) -> None:
    if questions and form in ("names", "names0", "lines"):
        raise typer.BadParameter("-f, -0 and --format print no answers; leave out --ask")
    if not questions and (ask_top is not None or ask_model is not None):
        raise typer.BadParameter(f"{'--ask-model' if ask_top is None else '--ask-top'} goes with --ask")


def _write_page(page: Path, text: str, hits: Sequence[Hit], levels: Levels) -> None:
    from vidsearch.workflows.page import result_page

    try:
        page.write_text(result_page(text, hits, levels), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise VidsearchError(f"The result page {page} cannot be written ({error.strerror}).") from error
    show.say(f"Result page: {page}")
