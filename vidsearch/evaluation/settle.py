"""Which of the settings that a paper leaves open fits the weights at hand: the workflow of `vidsearch evaluate settle`.

Two witnesses: what the batch norms remember of training (`embedding/batch_norms.py`), which needs no captions; and
recall at 1 on captioned clips under each combination of settings, where the right one is best. The settings are
varied outside of this module, which sees only embedders and fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vidsearch.embedding.interface import ClipEmbedder, TextEmbedder
from vidsearch.errors import VideoError, VidsearchError
from vidsearch.evaluation.retrieval_sets import read_set, retrieval_set
from vidsearch.evaluation.run_retrieval import RetrievalResult, evaluate_retrieval
from vidsearch.evaluation.video_vectors import Progress, SetRequest, clip_of
from vidsearch.json_forms import VERSION

CLEAR = 0.6  # a fit below this share of the next one's decides
FINGERPRINT_CLIPS = 40


class Fit(Protocol):
    """Of one batch norm: the differences of the means and of the variances."""

    @property
    def part(self) -> str: ...
    @property
    def mean(self) -> float: ...
    @property
    def variance(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How far the batch norms are from what they remember under one normalisation; in all, and part by part."""

    mean_std: str
    mean: float
    variance: float
    parts: Mapping[str, float]  # of the means

    @property
    def distance(self) -> float:
        return self.mean + self.variance


@dataclass(frozen=True, slots=True)
class Combination:
    """Recall at 1, in percent, under one combination of settings."""

    setting: Mapping[str, str]
    t2v: float
    v2t: float
    t2v_dual: float
    v2t_dual: float

    @property
    def plain(self) -> float:
        return (self.t2v + self.v2t) / 2


@dataclass(frozen=True, slots=True)
class Settled:
    """What fits. `decided`: the batch norms told the normalisations apart, and only the best one was tried."""

    model: str
    items: int
    fingerprints: tuple[Fingerprint, ...]
    decided: bool
    combinations: tuple[Combination, ...]

    @property
    def best(self) -> Combination:
        """The highest recall; of equal ones the first, which is nearest to what the model's folder says."""
        return max(self.combinations, key=lambda own: own.plain)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "version": VERSION,
            "model": self.model,
            "items": self.items,
            "fingerprints": [
                {"mean_std": own.mean_std, "mean": own.mean, "variance": own.variance, "parts": dict(own.parts)}
                for own in self.fingerprints
            ],
            "decided_by_fingerprint": self.decided,
            "combinations": [_as_dict(own) for own in self.combinations],
            "fits": dict(self.best.setting),
        }


def _as_dict(own: Combination) -> dict[str, Any]:
    figures = {"t2v_r1": own.t2v, "v2t_r1": own.v2t, "t2v_dual_r1": own.t2v_dual, "v2t_dual_r1": own.v2t_dual}
    return {**own.setting, **figures}


@dataclass(frozen=True, slots=True)
class Trials:
    """What can be tried: the values of each setting, how a model is opened with some, and how its batch norms fit."""

    mean_std: Sequence[str]
    tpe: Sequence[str]  # () for a model without one
    resize: Sequence[str]
    open: Callable[[Mapping[str, str]], ClipEmbedder]
    fits: Callable[[str, Sequence[NDArray[np.uint8]]], Sequence[Fit]]  # normalisation, clips → fits


def settle(
    request: SetRequest, trials: Trials, texts: TextEmbedder, cache_folder: Path, weights: Path
) -> Iterator[Progress | Settled]:
    """Progress in combinations, and last what fits. Vectors are kept in `cache_folder` for each combination.

    VidsearchError if the data are not there.
    """
    fingerprints = sorted(_fingerprints(request, trials), key=lambda own: own.distance)
    decided = fingerprints[0].distance < CLEAR * fingerprints[1].distance
    normalisations = [fingerprints[0].mean_std] if decided else [own.mean_std for own in fingerprints]
    settings = list(_settings(normalisations, trials))
    found: list[Combination] = []
    items = 0
    for number, setting in enumerate(settings):
        yield Progress(number, len(settings))
        own = SetRequest(request.set, request.data, request.limit, request.annotations, _named(setting))
        *_, result = evaluate_retrieval(own, trials.open(setting), texts, cache_folder, weights)
        assert isinstance(result, RetrievalResult)  # the last event
        r1 = {direction: figures["r1"] for direction, figures in result.metrics.items()}
        found.append(Combination(setting, r1["t2v"], r1["v2t"], r1["t2v_dual"], r1["v2t_dual"]))
        items = result.items
    yield Settled(texts.model, items, tuple(fingerprints), decided, tuple(found))


def _settings(normalisations: Sequence[str], trials: Trials) -> Iterator[dict[str, str]]:
    for mean_std in normalisations:
        for tpe in trials.tpe or ("",):
            for resize in trials.resize:
                setting = {"mean_std": mean_std, "tpe": tpe, "resize": resize}
                yield {name: value for name, value in setting.items() if value}


def _named(setting: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def _fingerprints(request: SetRequest, trials: Trials) -> Iterator[Fingerprint]:
    clips = _clips(request, trials.open({"mean_std": trials.mean_std[0]}))
    for mean_std in trials.mean_std:
        fits = trials.fits(mean_std, clips)
        parts: dict[str, list[float]] = {}
        for own in fits:
            parts.setdefault(own.part, []).append(own.mean)
        yield Fingerprint(
            mean_std,
            float(np.mean([own.mean for own in fits])),
            float(np.mean([own.variance for own in fits])),
            {part: float(np.mean(means)) for part, means in parts.items()},
        )


def _clips(request: SetRequest, embedder: ClipEmbedder) -> list[NDArray[np.uint8]]:
    """Frames of the first videos that can be read."""
    clips: list[NDArray[np.uint8]] = []
    known = retrieval_set(request.set)
    for video in read_set(request.set, request.data, request.annotations):
        if video.path is not None and len(clips) < FINGERPRINT_CLIPS:
            try:
                clips.append(clip_of(video.path, embedder, known.first_s))
            except VideoError:
                continue  # named where recall is measured
    if not clips:
        raise VidsearchError(f"No video of {request.set} below {request.data} can be read.")
    return clips
