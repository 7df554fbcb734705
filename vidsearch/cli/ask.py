"""`vidsearch ask`: questions about a clip, or a moment of it, to answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from vidsearch import json_forms, timecode
from vidsearch.answering.interface import DEFAULT_MAX_NEW_TOKENS
from vidsearch.cli import chosen_hits, completing, options, pull, show
from vidsearch.cli.late import typer
from vidsearch.cli.show_answers import show_answers, with_frames_said
from vidsearch.errors import VidsearchError
from vidsearch.extras import require
from vidsearch.models.registry import DEFAULT_ANSWERING_MODEL

if TYPE_CHECKING:
    from vidsearch.answering.interface import Clip, ComputePrecision, Coverage, TimeRange

_RANGE = re.compile(r"(?P<path>.+)@(?P<start>[\d:.]*)-(?P<end>[\d:.]*)", re.DOTALL)


def ask(
    clip: Annotated[
        str,
        typer.Argument(
            metavar="CLIP|HIT",
            help="A video, CLIP@00:12-00:20, or the number of a hit.",
            autocompletion=completing.hits,
        ),
    ],
    questions: Annotated[
        list[str] | None, typer.Argument(metavar="QUESTION...", help="What to ask; - reads questions, one a line.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Look from here on.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Look no further than this.")] = None,
    pad: Annotated[
        float | None,
        typer.Option(
            "--pad", min=0, max=timecode.FARTHEST_S, metavar="SECONDS", help="Look so much around the range, too."
        ),
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Talk: questions go on from those before; they are read from stdin.")
    ] = False,
    coverage: options.Coverage = "reference",
    model: options.AskModel = DEFAULT_ANSWERING_MODEL,
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    max_new_tokens: options.MaxNewTokens = DEFAULT_MAX_NEW_TOKENS,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    decoder_memory: options.DecoderMemory = None,
    as_json: options.Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also tell the time of every frame.")] = False,
) -> None:
    """Ask questions about a video, or about a moment that the last query found. Answers can be wrong.

    The answer goes to stdout as it comes; what was looked at goes to stderr.

    Examples: vidsearch ask clip.mp4 "what happens?"; vidsearch ask 2 "what colour is the car?" --pad 2
    """
    from vidsearch.answering.answerer import open_answerer
    from vidsearch.answering.interface import GenerationOptions
    from vidsearch.cli.memory import keep_freed_memory
    from vidsearch.workflows.ask import ask_about, check_question

    given = [options.typed_text(question) for question in questions or []]
    if not given and not chat:
        raise typer.BadParameter("give a question, - to read questions from stdin, or --chat")
    if given.count("-") > 1 or ("-" in given and chat):
        raise typer.BadParameter("stdin can be read once; choose - or --chat")
    if seed is not None and temperature == 0:
        raise typer.BadParameter("--seed goes with a --temperature above 0; at 0 nothing is drawn")
    for question in given:
        check_question(question)
    require("answering questions", "torch")
    place = wanted_clip(clip, start, end, pad, coverage)
    awaited = _all_questions(given, chat)
    pull.find_or_offer(model, "vqa")
    keep_freed_memory()
    answerer = open_answerer(model, device=device, precision=cast("ComputePrecision", dtype))
    generation = GenerationOptions(max_new_tokens, temperature, seed)
    talking = chat and _stdin_is_a_terminal()
    outcomes = ask_about(place, awaited, answerer, generation, chat=chat, stoppable=talking)
    if as_json:
        show.write_json(
            {"version": json_forms.VERSION, **json_forms.answers(with_frames_said(outcomes) if verbose else outcomes)}
        )
    else:
        several = len(given) != 1 or chat or given == ["-"]
        lines = several and not sys.stdout.isatty()
        typed = _stdin_is_a_terminal() and given in ([], ["-"])  # then they stand on the terminal already
        show_answers(outcomes, several=several and not typed, verbose=verbose, lines=lines)


def wanted_clip(clip: str, start: str | None, end: str | None, pad: float | None, coverage: str) -> Clip:
    """The clip that the arguments name. VidsearchError for a hit that there is not, BadParameter for wrong usage."""
    from vidsearch.answering.interface import Clip

    path, found = _hit(clip) if re.fullmatch(r"\d+", clip) else _path_and_range(clip)
    given = _range(start, end) if start is not None or end is not None else None
    if found is not None and given is not None:
        raise typer.BadParameter(f"{clip} has a range already; leave out --start and --end")
    span = found or given
    if span is None:
        if pad is not None:
            raise typer.BadParameter("--pad goes with a range or a hit; give --start and --end, or a hit's number")
        return Clip(path, coverage=cast("Coverage", coverage))
    return Clip(path, padded(span, pad or 0.0), cast("Coverage", coverage))


def padded(span: TimeRange, pad_s: float) -> TimeRange:
    """The range with so many seconds more on both sides."""
    from vidsearch.answering.interface import TimeRange

    return TimeRange(
        None if span.start_s is None else timecode.earlier(span.start_s, pad_s),
        None if span.end_s is None else span.end_s + pad_s,
    )


def _all_questions(given: list[str], chat: bool) -> Iterator[str]:
    """The questions of the command line, with those of stdin in the place of -, and after them in a conversation.

    VidsearchError at once where stdin is a file or a pipe without any question, and a question was to come from it.
    """
    typed = _typed_questions()
    if ("-" in given or not given) and not _stdin_is_a_terminal():
        typed = _at_least_one(typed)
    pieces = [typed if question == "-" else iter((question,)) for question in given]
    return chain.from_iterable([*pieces, typed] if chat else pieces)


def _at_least_one(questions: Iterator[str]) -> Iterator[str]:
    first = next(questions, None)
    if first is None:
        raise VidsearchError("No question came from stdin; write one a line.")
    return chain((first,), questions)


def _typed_questions() -> Iterator[str]:
    """Lines of stdin as they come; blank ones are passed over. On a terminal a sign says that one is awaited."""
    mark = "\ufeff"  # a byte order mark, before the first line
    while sys.stdin is not None:  # as it is where the shell closed it
        if _stdin_is_a_terminal():
            sys.stderr.write("? ")
            sys.stderr.flush()
        line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")  # as the arguments are decoded
        if not line:
            return
        question, mark = line.removeprefix(mark).strip(), ""
        if question:
            yield question


def _stdin_is_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _hit(number: str) -> tuple[Path, TimeRange]:
    """A hit of the last query."""
    from vidsearch.answering.interface import TimeRange

    [hit] = chosen_hits.chosen([number])
    return hit.path, TimeRange(hit.start_s, hit.end_s)


def _path_and_range(clip: str) -> tuple[Path, TimeRange | None]:
    """A path, and the range behind its @; a file of that whole name comes first."""
    match = _RANGE.fullmatch(clip)
    path = options.absolute(options.given_path(clip))
    if path.exists():
        return path, None
    name, at, _ = clip.rpartition("@")
    if at and name.isdigit():
        raise typer.BadParameter(f"hit {name} is a range already; widen it with --pad, or name its file")
    if match is None and at and Path(name).is_file():
        raise typer.BadParameter(f"{clip[len(name) :]!r} is not a range; write @12-20, @12- (to the end) or @-20")
    if match is None:
        return path, None
    return options.absolute(Path(match["path"])), _range(match["start"] or None, match["end"] or None)


def _range(start: str | None, end: str | None) -> TimeRange:
    from vidsearch.answering.interface import TimeRange

    try:
        start_s, end_s = (None if text is None else timecode.seconds(text) for text in (start, end))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise typer.BadParameter(f"a range from {start} to {end} is empty; its end comes after its start")
    return TimeRange(start_s, end_s)
