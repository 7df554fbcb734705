"""Evaluation sets: held-out meanings with the captions that should find them.

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
    SceneAttributes,
    allowed,
    look_is_held_out,
    opposite,
    sample_meaning,
    with_motion,
)

MOTIONS_PER_GROUP = 8


@dataclass(frozen=True, slots=True)
class EvalSet:
    """Meanings and the sentence that should find each."""

    meanings: tuple[SceneAttributes, ...]
    texts: tuple[str, ...]


def _eval_set(meanings: list[SceneAttributes], rng: np.random.Generator) -> EvalSet:
    writer = CaptionWriter(rng, held_out=True)
    return EvalSet(tuple(meanings), tuple(writer.full(meaning).text for meaning in meanings))


def retrieval_set(seed: int, clips: int, extent: Extent = WHOLE) -> EvalSet:
    """`clips` held-out meanings, all distinct: one sentence is true of one clip."""
    rng = np.random.default_rng((seed, 1))
    meanings: dict[SceneAttributes, None] = {}
    while len(meanings) < clips:
        meanings[sample_meaning(rng, held_out=True, extent=extent)] = None
    return _eval_set(list(meanings), rng)


def held_out_looks() -> list[tuple[str, str, str]]:
    """Every (shape, colour, background) that training never shows, whatever the motion."""
    return [
        (shape, colour, background)
        for shape in SHAPES
        for colour in COLOURS
        for background in BACKGROUNDS
        if look_is_held_out(shape, colour, background)
    ]


def _thing(rng: np.random.Generator, extent: Extent) -> SceneAttributes:
    looks = [look for look in held_out_looks() if look[2] in extent.backgrounds]
    shape, colour, background = looks[int(rng.integers(len(looks)))]
    return SceneAttributes(shape, colour, background, "still", size=SIZES[int(rng.integers(2))])


def motion_sets(seed: int, groups: int, extent: Extent = WHOLE) -> list[EvalSet]:
    """Groups of one thing on one background in eight different motions."""
    rng = np.random.default_rng((seed, 2))
    eval_sets = []
    for _ in range(groups):
        thing = _thing(rng, extent)
        ways = [with_motion(thing, motion, None, str(thing.size)) for motion in (*SIMPLE, *CAMERA)]
        ways = [way for way in ways if allowed(way)]
        chosen = rng.permutation(len(ways))[:MOTIONS_PER_GROUP]
        eval_sets.append(_eval_set([ways[int(i)] for i in chosen], rng))
    return eval_sets


def left_right_sets(seed: int, pairs: int, extent: Extent = WHOLE) -> list[EvalSet]:
    """Pairs of one thing that moves left in one clip and right in the other."""
    return _pairs((seed, 3), pairs, lambda rng: ("left", None), extent)


def first_then_sets(seed: int, pairs: int, extent: Extent = WHOLE) -> list[EvalSet]:
    """Pairs of one thing that does the same two things in one and in the other order."""

    def motion(rng: np.random.Generator) -> tuple[str, str | None]:
        first, then = rng.permutation(len(STEPS))[:2]
        return STEPS[int(first)], STEPS[int(then)]

    return _pairs((seed, 4), pairs, motion, extent)


def overtaking_sets(seed: int, pairs: int) -> list[EvalSet]:
    """Pairs of two things of which one overtakes the other, or the other the one; the first look is held out."""
    rng = np.random.default_rng((seed, 5))
    eval_sets: list[EvalSet] = []
    while len(eval_sets) < pairs:
        meaning = sample_meaning(rng, held_out=True, motion=("overtake", None))
        contrary = opposite(meaning)
        if contrary is not None and (meaning.shape, meaning.colour) != (meaning.other_shape, meaning.other_colour):
            eval_sets.append(_eval_set([meaning, contrary], rng))
    return eval_sets


def _pairs(
    seed: tuple[int, int],
    pairs: int,
    motion: Callable[[np.random.Generator], tuple[str, str | None]],
    extent: Extent,
) -> list[EvalSet]:
    rng = np.random.default_rng(seed)
    eval_sets: list[EvalSet] = []
    for _ in range(pairs):
        first, then = motion(rng)
        meaning = with_motion(_thing(rng, extent), first, then, SIZES[int(rng.integers(2))])
        contrary = opposite(meaning)
        if contrary is None:
            raise ValueError(f"{first} has no opposite")
        eval_sets.append(_eval_set([meaning, contrary], rng))
    return eval_sets
