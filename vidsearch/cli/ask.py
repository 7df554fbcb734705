"""`vidsearch ask`: questions about a clip, or a moment of it, to answers."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vidsearch import places, timecode
from vidsearch.cli import options, pull, show
from vidsearch.errors import ModelError, VidsearchError

if TYPE_CHECKING:
    from vidsearch.answering.interface import Answerer, Clip, Precision, SeenClip
    from vidsearch.answering.moment import Coverage, TimeRange
    from vidsearch.records import Hit
    from vidsearch.workflows.ask import Outcome

JSON_VERSION = 1
_RANGE = re.compile(r"(?P<path>.+)@(?P<start>[\d:.]*)-(?P<end>[\d:.]*)", re.DOTALL)


def ask(
    clip: Annotated[str, typer.Argument(metavar="CLIP|HIT", help="A video, CLIP@00:12-00:20, or the number of a hit.")],
    questions: Annotated[
        list[str] | None, typer.Argument(metavar="QUESTION...", help="What to ask; - reads questions, one a line.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Look from here on.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="TIME", help="Look no further than this.")] = None,
    pad: Annotated[
        float | None, typer.Option("--pad", min=0, metavar="SECONDS", help="Look so much around the range, too.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Talk: questions go on from those before; they are read from stdin.")
    ] = False,
    coverage: options.Coverage = "reference",
    model: options.AskModel = options.DEFAULT_ASK_MODEL,
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    max_new_tokens: options.MaxNewTokens = options.DEFAULT_MAX_NEW_TOKENS,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    as_json: options.Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also tell the time of every frame.")] = False,
) -> None:
    """Ask questions about a video, or about a moment that the last query found. Answers can be wrong.

    The answer goes to stdout as it comes; what was looked at goes to stderr.

    Examples: vidsearch ask clip.mp4 "what happens?"; vidsearch ask 2 "what colour is the car?" --pad 2
    """
    from vidsearch.answering.answerer import open_answerer
    from vidsearch.answering.interface import AnswerLimits
    from vidsearch.answering.memory import keep_freed_memory
    from vidsearch.workflows.ask import ask_about, check_question

    given = list(questions or [])
    if not given and not chat:
        raise typer.BadParameter("give a question, - to read questions from stdin, or --chat")
    if given.count("-") > 1 or ("-" in given and chat):
        raise typer.BadParameter("stdin can be read once; choose - or --chat")
    if seed is not None and temperature == 0:
        raise typer.BadParameter("--seed goes with a --temperature above 0; at 0 nothing is drawn")
    for question in given:
        check_question(question)
    place = wanted_clip(clip, start, end, pad, coverage)
    pull.find_or_offer(model, "answers")
    keep_freed_memory()
    answerer = open_answerer(model, device=device, precision=cast("Precision", dtype))
    limits = AnswerLimits(max_new_tokens, temperature, seed)
    talking = chat and _stdin_is_a_terminal()
    outcomes = ask_about(place, _all_questions(given, chat), answerer, limits, chat=chat, stoppable=talking)
    if as_json:
        show.write_json({"version": JSON_VERSION, **as_dict(_told(outcomes) if verbose else outcomes)})
    else:
        several = len(given) != 1 or chat or given == ["-"]
        lines = several and not sys.stdout.isatty()
        typed = _stdin_is_a_terminal() and given in ([], ["-"])  # then they stand on the terminal already
        show_answers(outcomes, several=several and not typed, verbose=verbose, lines=lines)


def wanted_clip(clip: str, start: str | None, end: str | None, pad: float | None, coverage: str) -> Clip:
    """The clip that the arguments name. VidsearchError for a hit that there is not, BadParameter for wrong usage."""
    from vidsearch.answering.interface import Clip

    path, found = _hit(int(clip)) if re.fullmatch(r"\d+", clip) else _path_and_range(clip)
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
    from vidsearch.answering.moment import TimeRange

    return TimeRange(
        None if span.start_s is None else max(0.0, span.start_s - pad_s),
        None if span.end_s is None else span.end_s + pad_s,
    )


def as_dict(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The stable JSON form of what was looked at and answered; documented in docs/json.md."""
    from vidsearch.workflows.ask import Answered, ClipLooked, QuestionPut

    seen: dict[str, Any] = {}
    answers: list[dict[str, Any]] = []
    for outcome in outcomes:
        match outcome:
            case ClipLooked(clip, device):
                seen = {**_seen_as_dict(clip), "device": device}
            case QuestionPut(question, unknown):
                answers.append({"question": question, "unknown_words": list(unknown)})
            case Answered(_, text, tokens, cut_short, _):
                answers[-1] |= {"answer": text, "tokens": tokens, "cut_short": cut_short}
    return {**seen, "answers": answers}


def show_answers(
    outcomes: Iterable[Outcome],
    *,
    several: bool,
    verbose: bool = False,
    lines: bool = False,
    indent: str = "",
    longer: str = "--max-new-tokens",
) -> None:
    """Answers to stdout as they come, `indent` before each line; what was looked at goes to stderr.

    `several`: each question goes there, too. `lines`: an answer is one line of a pipe, its own ends of lines escaped.
    `longer`: what lets an answer that was cut go on.
    """
    from vidsearch.workflows.ask import Answered, ClipLooked, Piece, QuestionPut

    begun = False
    try:
        for outcome in outcomes:
            match outcome:
                case ClipLooked(clip, device):
                    _say_seen(clip, device, verbose=verbose)
                case QuestionPut(question, unknown):
                    if several:
                        show.say(f"> {question}")
                    if unknown:
                        show.say(f"vidsearch: the model does not know: {', '.join(unknown)}; it answers without them.")
                case Piece(text):
                    shown = show.one_line(text) if lines else show.on_terminal(text).replace("\n", f"\n{indent}")
                    first, begun = not begun, True  # before the writing, which Ctrl-C may stop when it is done
                    show.write(indent + shown if first else shown)
                case Answered(_, _, tokens, cut_short, full, stopped):
                    show.write("\n" if begun else f"{indent}\n")
                    begun = False
                    if stopped:
                        show.say("Stopped. Ask on, or end with Ctrl-C or Ctrl-D.")
                    elif cut_short:
                        way_on = ": the model takes no more" if full else f"; {longer} lets it go on"
                        show.say(f"The answer was cut after {tokens} tokens{way_on}.")
    finally:
        if begun:  # stopped in the middle of an answer, by Ctrl-C or an error: the line is ended
            show.write("\n")


def seen_line(clip: SeenClip, device: str) -> str:
    """One line that says what was looked at, and by what."""
    frames = f"{len(clip.times_s)} frame{'s' if len(clip.times_s) > 1 else ''}"
    kept = f"{len(clip.chosen_s)} of them kept for motion"
    source = "encoded before" if clip.from_cache else "encoded"
    line = (
        f"Looked at {timecode.clock(clip.start_s)}-{timecode.clock(clip.end_s)} of {clip.path.name}: "
        f"{frames} {source}, {kept}; {clip.model} on {device}."
    )
    if unseen := _unseen_tail(clip):
        line += f" Nothing after {timecode.clock(unseen)} was looked at; --coverage full spreads the frames."
    if clip.damage:
        line += f" {clip.damage}"
    return line


def _say_seen(clip: SeenClip, device: str, *, verbose: bool) -> None:
    show.say(seen_line(clip, device))
    if verbose:
        show.say(frames_line(clip))


def _told(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The same outcomes, with what was looked at said on stderr."""
    from vidsearch.workflows.ask import ClipLooked

    for outcome in outcomes:
        if isinstance(outcome, ClipLooked):
            _say_seen(outcome.seen, outcome.device, verbose=True)
        yield outcome


def frames_line(clip: SeenClip) -> str:
    """The time of every frame; those kept for motion have a star."""
    times = (f"{time:.3f}{'*' if time in clip.chosen_s else ''}" for time in clip.times_s)
    return f"Frames at {' '.join(times)} s (* kept for motion)."


class HitAsker:
    """Puts the same questions to the best `top` hits of a query. The model is opened with the first of them."""

    def __init__(self, questions: list[str], top: int, model: str) -> None:
        """Before any work is done: VidsearchError for a question that is none, ModelError for a model not here."""
        from vidsearch.models.folder import find_model
        from vidsearch.workflows.ask import check_question

        for question in questions:
            check_question(question)
        find_model(model, places.models_dir(), "answers")
        self.failed = False  # a hit could not be looked at
        self._questions, self._top, self._model = questions, top, model
        self._device = options.device_of_environment()
        self._answerer: Answerer | None = None

    def as_dict(self, hit: Hit) -> dict[str, Any]:
        """`asked` for one of the best hits, nothing for the others; documented in docs/json.md."""
        if hit.number > self._top:
            return {}
        outcomes = self._outcomes(hit)
        try:
            return {"asked": as_dict(outcomes)}
        except ModelError:
            raise
        except VidsearchError as error:
            self.failed = True
            return {"asked": {"error": str(error)}}

    def show(self, hit: Hit) -> None:
        """The answers under one of the best hits; a file that cannot be read is a line on stderr."""
        if hit.number > self._top:
            return
        piped = not sys.stdout.isatty()
        outcomes = self._outcomes(hit)
        try:
            show_answers(
                outcomes,
                several=len(self._questions) > 1,
                lines=piped,
                indent="\t" if piped else "   ",
                longer=f"vidsearch ask {hit.number} with --max-new-tokens",
            )
        except ModelError:
            raise
        except VidsearchError as error:
            self.failed = True
            show.say(f"vidsearch: {error}")

    def _outcomes(self, hit: Hit) -> Iterator[Outcome]:
        """What is to come about a hit. Raises what opening the model does; about the hit nothing is done yet."""
        from vidsearch.answering.answerer import open_answerer
        from vidsearch.answering.interface import AnswerLimits, Clip
        from vidsearch.answering.memory import keep_freed_memory
        from vidsearch.answering.moment import TimeRange
        from vidsearch.workflows.ask import ask_about

        keep_freed_memory()
        self._answerer = self._answerer or open_answerer(self._model, device=self._device)
        moment = Clip(hit.path, TimeRange(hit.start_s, hit.end_s))
        return ask_about(moment, self._questions, self._answerer, AnswerLimits(options.DEFAULT_MAX_NEW_TOKENS))


def _unseen_tail(clip: SeenClip) -> float | None:
    """The time of the last frame, where what comes after it is longer than two steps between frames."""
    times = clip.times_s
    if len(times) < 2:
        return None
    step = max(later - earlier for earlier, later in pairwise(times))
    return times[-1] if clip.end_s - times[-1] > 2 * step + 1e-3 else None


def _seen_as_dict(clip: SeenClip) -> dict[str, Any]:
    seen = asdict(clip) | {"path": str(clip.path)}
    for name in ("start_s", "end_s"):
        seen[name] = round(seen[name], 3)
    seen["frames_s"] = [round(time, 3) for time in seen.pop("times_s")]
    seen["kept_s"] = [round(time, 3) for time in seen.pop("chosen_s")]
    return seen


def _all_questions(given: list[str], chat: bool) -> Iterator[str]:
    """The questions of the command line, with those of stdin in the place of -, and after them in a conversation."""
    for question in given:
        if question == "-":
            yield from _at_least_one(_typed_questions())
        else:
            yield question
    if chat:
        yield from _typed_questions()


def _at_least_one(questions: Iterator[str]) -> Iterator[str]:
    """The questions; VidsearchError where there is none: a file of questions that is empty is a mistake."""
    first = next(questions, None)
    if first is None:
        raise VidsearchError("No question came from stdin; write one a line.")
    yield first
    yield from questions


def _typed_questions() -> Iterator[str]:
    """Lines of stdin as they come; blank ones are passed over. On a terminal a sign says that one is awaited."""
    while sys.stdin is not None:  # as it is where the shell closed it
        if _stdin_is_a_terminal():
            sys.stderr.write("? ")
            sys.stderr.flush()
        line = sys.stdin.buffer.readline().decode("utf-8", "surrogateescape")  # as the arguments are decoded
        if not line:
            return
        if line.strip():
            yield line.strip()


def _stdin_is_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _hit(number: int) -> tuple[Path, TimeRange]:
    """A hit of the last query."""
    from vidsearch.answering.moment import TimeRange

    with options.open_library() as library:
        text, hits = library.last_hits()
    hit = next((hit for hit in hits if hit.number == number), None)
    if hit is None:
        known = f"the last query, {text!r}, found {len(hits)}" if text else "no query was made yet"
        raise VidsearchError(f"There is no hit {number}: {known}; query first, or name a file as ./{number}.")
    return hit.path, TimeRange(hit.start_s, hit.end_s)


def _path_and_range(clip: str) -> tuple[Path, TimeRange | None]:
    """A path, and the range behind its @; a file of that whole name comes first."""
    match = _RANGE.fullmatch(clip)
    path = options.absolute(Path(clip))
    if match is None or path.exists():
        return path, None
    return options.absolute(Path(match["path"])), _range(match["start"] or None, match["end"] or None)


def _range(start: str | None, end: str | None) -> TimeRange:
    from vidsearch.answering.moment import TimeRange

    try:
        start_s, end_s = (None if text is None else timecode.seconds(text) for text in (start, end))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise typer.BadParameter(f"a range from {start} to {end} is empty; its end comes after its start")
    return TimeRange(start_s, end_s)
