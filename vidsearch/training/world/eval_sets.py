"""What a model of this world is asked: sets of held-out meanings with the captions that should find them.

Everything is drawn from the held-out part of the split and said in held-out phrasings; a seed names a set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vidsearch.training.world.captions import CaptionWriter
from vidsearch.training.world.scene import (
    BACKGROUNDS,
    CAMERA,
    COLOURS,
    SHAPES,
    SIMPLE,
    SIZES,
    STEPS,
    WHOLE,
    Extent,
    Meaning,
    allowed,
    look_is_held_out,
    opposite,
    sample_meaning,
    with_motion,
)

MOTIONS_PER_GROUP = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """Meanings and the sentence that should find each."""

    meanings: tuple[Meaning, ...]
    texts: tuple[str, ...]


def _trial(meanings: list[Meaning], rng: np.random.Generator) -> Trial:
    writer = CaptionWriter(rng, held_out=True)
    return Trial(tuple(meanings), tuple(writer.full(meaning).text for meaning in meanings))


def retrieval_trial(seed: int, clips: int, extent: Extent = WHOLE) -> Trial:
    """`clips` held-out meanings, all distinct: one sentence is true of one clip."""
    rng = np.random.default_rng((seed, 1))
    meanings: dict[Meaning, None] = {}
    while len(meanings) < clips:
        meanings[sample_meaning(rng, held_out=True, extent=extent)] = None
    return _trial(list(meanings), rng)


def held_out_looks() -> list[tuple[str, str, str]]:
    """Every (shape, colour, background) that training never shows, whatever the motion."""
    return [
        (shape, colour, background)
        for shape in SHAPES
        for colour in COLOURS
        for background in BACKGROUNDS
        if look_is_held_out(shape, colour, background)
    ]


def _thing(rng: np.random.Generator, extent: Extent) -> Meaning:
    looks = [look for look in held_out_looks() if look[2] in extent.backgrounds]
    shape, colour, background = looks[int(rng.integers(len(looks)))]
    return Meaning(shape, colour, background, "still", size=SIZES[int(rng.integers(2))])


def motion_trials(seed: int, groups: int, extent: Extent = WHOLE) -> list[Trial]:
    """Groups of one thing on one background in eight different motions."""
    rng = np.random.default_rng((seed, 2))
    trials = []
    for _ in range(groups):
        thing = _thing(rng, extent)
        ways = [with_motion(thing, motion, None, str(thing.size)) for motion in (*SIMPLE, *CAMERA)]
        ways = [way for way in ways if allowed(way)]
        chosen = rng.permutation(len(ways))[:MOTIONS_PER_GROUP]
        trials.append(_trial([ways[int(i)] for i in chosen], rng))
    return trials


def left_right_trials(seed: int, pairs: int, extent: Extent = WHOLE) -> list[Trial]:
    """Pairs of one thing that moves left in one clip and right in the other."""
    return _pairs((seed, 3), pairs, lambda rng: ("left", None), extent)


def first_then_trials(seed: int, pairs: int, extent: Extent = WHOLE) -> list[Trial]:
    """Pairs of one thing that does the same two things in one and in the other order."""

    def motion(rng: np.random.Generator) -> tuple[str, str | None]:
        first, then = rng.permutation(len(STEPS))[:2]
        return STEPS[int(first)], STEPS[int(then)]

    return _pairs((seed, 4), pairs, motion, extent)


def overtaking_trials(seed: int, pairs: int) -> list[Trial]:
    """Pairs of two things of which one overtakes the other, or the other the one; the first look is held out."""
    rng = np.random.default_rng((seed, 5))
    trials: list[Trial] = []
    while len(trials) < pairs:
        meaning = sample_meaning(rng, held_out=True, motion=("overtake", None))
        contrary = opposite(meaning)
        if contrary is not None and (meaning.shape, meaning.colour) != (meaning.other_shape, meaning.other_colour):
            trials.append(_trial([meaning, contrary], rng))
    return trials


def _pairs(
    seed: tuple[int, int],
    pairs: int,
    motion: Callable[[np.random.Generator], tuple[str, str | None]],
    extent: Extent,
) -> list[Trial]:
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    for _ in range(pairs):
        first, then = motion(rng)
        meaning = with_motion(_thing(rng, extent), first, then, SIZES[int(rng.integers(2))])
        contrary = opposite(meaning)
        if contrary is None:
            raise ValueError(f"{first} has no opposite")
        trials.append(_trial([meaning, contrary], rng))
    return trials
