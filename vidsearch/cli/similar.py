"""`vidsearch similar`: moments that look like a clip, a picture or a hit."""

from __future__ import annotations

from typing import Annotated, Any

from vidsearch.cli import options, query_options
from vidsearch.cli.finding import find, say_what_is_left_out
from vidsearch.cli.late import typer
from vidsearch.cli.query_options import Given, changed, given
from vidsearch.cli.show_hits import HitsShown, chosen_form
from vidsearch.errors import EXIT_NOTHING_FOUND
from vidsearch.models.registry import DEFAULT_MODEL
from vidsearch.query_text.reading import weighted_source

Source = Annotated[
    Any,
    typer.Argument(
        parser=query_options.told(weighted_source),
        metavar="FILE|FILE@RANGE|HIT",
        help="A video, CLIP@00:12-00:20, a picture, or the number of a hit.",
    ),
]


def similar(
    source: Source,
    under: query_options.Under_ = None,
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
    time_format: query_options.Times = "hms",
    quiet: options.Quiet = False,
) -> None:
    """Find moments that look like a clip, a picture or a hit of the last query, which is not among them itself.

    The same as vidsearch query --like WHAT, without the source.

    Examples: vidsearch similar holiday.mp4@00:12-00:20; vidsearch similar 3; vidsearch similar photo.jpg --since 2025
    """
    form = chosen_form(as_json, as_jsonl, files_only, null, pattern)
    wanted = Given(
        (),
        [source],
        given(under, not_under, name, ext, since, until, min_duration, max_duration, min_height, reader),
        changed(
            top=top,
            per_video=per_video,
            min_score=min_score,
            sort=sort,
            group=group,
            duplicates=duplicates,
            exact=exact,
            sources=False,
        ),
    ).query()
    found = find(wanted, model, only_matching=False)
    HitsShown(found, time_format, pattern=pattern).write(form)
    say_what_is_left_out(found, only_matching=False)
    if not found.hits:
        raise typer.Exit(EXIT_NOTHING_FOUND)
