"""A benchmark of captions from its data to its figures: the workflow of `vidsearch evaluate captions`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidsearch.answering.interface import Answerer, Clip, GenerationOptions
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.caption_scores import NO_JAVA, caption_scores, has_java
from vidsearch.evaluation.caption_sets import Captioned, read_candidates, read_captioned
from vidsearch.evaluation.files import present
from vidsearch.evaluation.kept_answers import KeptAnswers
from vidsearch.evaluation.published import Published, published
from vidsearch.evaluation.questions import cleaned
from vidsearch.evaluation.result import result_form
from vidsearch.evaluation.video_vectors import Progress

PROMPT = "Describe the video in one short sentence."  # the papers' decoders are not asked anything
MAX_NEW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class CaptionRequest:
    """Which set, where its data are, how many of its videos; `candidates`: captions that were made elsewhere."""

    set: str
    data: Path
    limit: int | None = None
    annotations: Path | None = None
    prompt: str = PROMPT
    candidates: Path | None = None


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """The figures of a set. `items` videos have a caption in `captions`; `missing` and `unreadable` have none."""

    set: str
    model: str
    items: int
    missing: tuple[str, ...]
    unreadable: dict[str, str]
    metrics: dict[str, float]
    protocol: str
    captions: dict[str, str]
    published: tuple[Published, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**result_form(self), "captions": self.captions}


def evaluate_captions(
    request: CaptionRequest, model: str, weights: Path, open_answerer: Callable[[], Answerer], cache_folder: Path
) -> Iterator[Progress | CaptionResult]:
    """Progress, and last the result. Captions are kept in `cache_folder`, so that a run that was cut off goes on.

    `weights` is the model's file, whose change makes kept captions void; `open_answerer` is called if there is anything
    to say. VidsearchError if the data are not there.
    """
    listed = read_captioned(request.set, request.data, request.annotations)[: request.limit]
    if request.candidates is not None:
        yield _result(request, str(request.candidates), listed, read_candidates(request.candidates), {})
        return
    there = [(video.name, path) for video, path in present(listed, request.set, request.data)]
    about = f"greedy, {MAX_NEW_TOKENS} new tokens"
    with KeptAnswers(cache_folder, f"captions-{request.set}", model, weights, about) as kept:
        said, unreadable = yield from _said(there, request.prompt, open_answerer, kept)
    yield _result(request, model, listed, said, unreadable)


def _said(
    videos: Sequence[tuple[str, Path]], prompt: str, open_answerer: Callable[[], Answerer], kept: KeptAnswers
) -> Generator[Progress, None, tuple[dict[str, str], dict[str, str]]]:
    """What the model says of each video, and why others have no caption."""
    said: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    answerer: Answerer | None = None
    yield Progress(0, len(videos))
    for name, path in videos:
        key = kept.key(path, prompt)
        caption = kept.get(key)
        if caption is None:
            answerer = answerer or open_answerer()
            try:
                pieces = answerer.encode(Clip(path)).ask(prompt, GenerationOptions(max_new_tokens=MAX_NEW_TOKENS))
                caption = cleaned("".join(pieces))
                kept.put(key, caption)
            except VideoError as error:
                unreadable[name] = str(error)
        if caption is not None:
            said[name] = caption
        yield Progress(len(said) + len(unreadable), len(videos))
    return said, unreadable


def _result(
    request: CaptionRequest,
    model: str,
    listed: Sequence[Captioned],
    said: Mapping[str, str],
    unreadable: dict[str, str],
) -> CaptionResult:
    """VidsearchError if there is no caption of any video of the set."""
    scored = {video.name: video.references for video in listed if video.name in said}
    if not scored:
        raise VidsearchError(f"There is no caption of any of the {len(listed)} videos of {request.set}.")
    captions = {name: said[name] for name in scored}
    given = request.candidates is not None
    rules = ["candidates as given" if given else f"one caption a video, greedy, to {request.prompt!r}"]
    rules += [
        "BLEU, METEOR, ROUGE-L and CIDEr by pycocoevalcap, times 100; CIDEr of a part of a set compares with none"
    ]
    if not has_java():
        rules += [f"{NO_JAVA}; words are split by vidsearch as the Java program splits them"]
    return CaptionResult(
        set=request.set,
        model=model,
        items=len(scored),
        missing=tuple(video.name for video in listed if video.name not in said and video.name not in unreadable),
        unreadable=unreadable,
        metrics=caption_scores(scored, captions),
        protocol="; ".join(rules),
        captions=captions,
        published=published("captions", request.set),
    )
