"""How answers about a clip look: on a terminal, in a pipe; what was looked at goes to stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from vidsearch import timecode
from vidsearch.cli import show

if TYPE_CHECKING:
    from vidsearch.answering.interface import EncodedClip
    from vidsearch.records import FinishReason
    from vidsearch.workflows.ask import AskOutcome


def show_answers(
    outcomes: Iterable[AskOutcome],
    *,
    several: bool,
    verbose: bool = False,
    lines: bool = False,
    indent: str = "",
    longer: str = "--max-new-tokens",
) -> None:
    """Answers to stdout as they come, `indent` before each line; what was looked at goes to stderr.

    `several`: each question goes to stderr, too. `lines`: an answer is one line of a pipe, line ends in it escaped.
    `longer`: what lets an answer that was cut go on.
    """
    from vidsearch.workflows.ask import Answered, ClipEncoded, Piece, QuestionPut

    begun = False
    try:
        for outcome in outcomes:
            match outcome:
                case ClipEncoded(clip, device):
                    _say_encoded(clip, device, verbose=verbose)
                case QuestionPut(question, unknown):
                    if several:
                        show.say(f"> {question}")
                    if unknown:
                        show.say(f"vidsearch: the model does not know: {', '.join(unknown)}; it answers without them.")
                case Piece(text):
                    shown = show.one_line(text) if lines else show.on_terminal(text).replace("\n", f"\n{indent}")
                    first, begun = not begun, True  # before the writing, which Ctrl-C may stop when it is done
                    show.write(indent + shown if first else shown)
                case Answered(_, _, tokens, reason):
                    show.write("\n" if begun else f"{indent}\n")
                    begun = False
                    if sentence := _ending(tokens, reason, longer):
                        show.say(sentence)
    finally:
        if begun:  # stopped in the middle of an answer, by Ctrl-C or an error: the line is ended
            show.write("\n")


def _ending(tokens: int, reason: FinishReason, longer: str) -> str | None:
    """What to say under an answer that the model did not end itself."""
    match reason:
        case "interrupted":
            return "Stopped. Ask on, or end with Ctrl-C or Ctrl-D."
        case "length":
            return f"The answer was cut after {tokens} tokens; {longer} lets it go on."
        case "context":
            return f"The answer was cut after {tokens} tokens: the model takes no more."
        case "stop":
            return None


def encoded_line(clip: EncodedClip, device: str) -> str:
    """One line that says what was looked at, and by what."""
    frames = show.counted(len(clip.times_s), "frame")
    kept = f"{len(clip.keyframes_s)} of them kept for motion"
    source = "(encoded earlier)" if clip.from_cache else "encoded"
    line = (
        f"Looked at {_span(clip.start_s, clip.end_s)} of {clip.path.name}: "
        f"{frames} {source}, {kept}; {clip.model} on {device}."
    )
    if unseen := _unseen_tail(clip):
        line += f" Nothing after {timecode.clock(unseen)} was looked at; --coverage full spreads the frames."
    if clip.damage:
        line += f" {clip.damage}"
    return line


def _span(start_s: float, end_s: float) -> str:
    """A range as a person writes it; one of less than a tenth of a second in seconds, as it would look empty."""
    start, end = timecode.clock(start_s), timecode.clock(end_s)
    return f"{start}-{end}" if start != end else f"{start_s:.3f}-{end_s:.3f} s"


def _say_encoded(clip: EncodedClip, device: str, *, verbose: bool) -> None:
    show.say(encoded_line(clip, device))
    if verbose:
        show.say(frames_line(clip))


def frames_line(clip: EncodedClip) -> str:
    """The time of every frame; those kept for motion have a star."""
    times = (f"{time:.3f}{'*' if time in clip.keyframes_s else ''}" for time in clip.times_s)
    return f"Frames at {' '.join(times)} s (* kept for motion)."


def _unseen_tail(clip: EncodedClip) -> float | None:
    """The time of the last frame, if what comes after it is longer than two steps between frames; else None."""
    times = clip.times_s
    if len(times) < 2:
        return None
    step = max(later - earlier for earlier, later in pairwise(times))
    return times[-1] if clip.end_s - times[-1] > 2 * step + 1e-3 else None


def with_frames_said(outcomes: Iterable[AskOutcome]) -> Iterator[AskOutcome]:
    """The same outcomes, with what was looked at said on stderr."""
    from vidsearch.workflows.ask import ClipEncoded

    for outcome in outcomes:
        if isinstance(outcome, ClipEncoded):
            _say_encoded(outcome.clip, outcome.device, verbose=True)
        yield outcome
