"""What the world knows of a rendered clip: what lies under each token, and how each frame's things and camera move.

Axes: N frames, P tokens of a frame (row-major).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidsearch.training.world.scene import COLOURS, SHAPES, TURNING_SHAPES, TURNS, Actor, Array, Scene

STILL_TARGETS, FRAME_TARGETS = 6, 13  # of `frame_targets`: what one frame shows, all
_REACH = 1.15  # of a thing's radius: how far from its middle a token is asked about it
_STEP = 0.02  # of the clip: the step over which a velocity is measured
_PLACES, _RATES = 3, 4  # (x, y, log radius); how x, y, radius and angle change
_SECTORS = 8  # of a turn: a thing that turns is asked in which its angle lies
_SENSES = 3  # no turn, clockwise, counter-clockwise
LABEL_SIZES = {
    "colour": 1 + len(COLOURS),
    "shape": 1 + len(SHAPES),
    "sector": _SECTORS,
    "before": _SECTORS,
    "sense": _SENSES,
    "places": _PLACES,
    "rates": _RATES,
}  # classes or numbers of each field of TokenLabels


@dataclass(frozen=True, slots=True)
class TokenLabels:
    """What lies under each token; (N, P), measures (N, P, k). Sectors and senses are -1 where they are not asked.

    Sectors are asked for of things that turn, as classes: of an angle that could be any, the least absolute error is
    that of answering nothing, and a network that is asked for its sine and cosine never begins to see it.
    """

    colour: NDArray[np.int64]  # 0: nothing
    shape: NDArray[np.int64]
    sector: NDArray[np.int64]
    before: NDArray[np.int64]  # the sector at the moment before
    sense: NDArray[np.int64]
    places: Array
    rates: Array


def token_labels(scene: Scene, moments: Array, side: int, *, square: bool) -> TokenLabels:
    """The facts of side × side tokens at the moments (N,); `square`: of the middle square, not the whole frame."""
    left = (scene.aspect - 1) / 2 if square else 0.0
    span = 1.0 if square else scene.aspect
    columns = (np.arange(side, dtype=np.float32) + 0.5) / side * span + left
    rows = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = (grid.reshape(-1) for grid in np.meshgrid(columns, rows))  # (P,)
    tokens = (len(moments), side * side)
    facts = TokenLabels(
        colour=np.zeros(tokens, np.int64),
        shape=np.zeros(tokens, np.int64),
        sector=np.full(tokens, -1),
        before=np.full(tokens, -1),
        sense=np.full(tokens, -1),
        places=np.zeros((*tokens, _PLACES), np.float32),
        rates=np.zeros((*tokens, _RATES), np.float32),
    )
    turns = scene.meaning.motion in TURNS
    sense = 1 + TURNS.index(scene.meaning.motion) if turns else 0
    nearest = np.full(tokens, _REACH, np.float32)
    later = moments + np.float32(_STEP)
    actors = scene.actors(moments)
    seen_later = _seen(scene, scene.actors(later), later)
    for actor, seen, then in zip(actors, _seen(scene, actors, moments), seen_later, strict=True):
        away = np.hypot(x - seen[0][:, None], y - seen[1][:, None]) / seen[2][:, None]
        # At least the token in which the middle lies, however small the thing is.
        away = np.where(
            (abs(x - seen[0][:, None]) <= span / side / 2) & (abs(y - seen[1][:, None]) <= 0.5 / side), 0.5, away
        )
        here = (away < nearest) & actor.visible[:, None]
        nearest[here] = away[here]
        facts.colour[here] = 1 + COLOURS.index(actor.colour)
        facts.shape[here] = 1 + SHAPES.index(actor.shape)
        middle = np.stack(
            (
                (seen[0][:, None] - x) * side / span / 2,
                (seen[1][:, None] - y) * side / 2,
                np.broadcast_to(np.log(seen[2] / 0.12)[:, None], tokens),
            ),
            axis=-1,
        )
        facts.places[here] = middle[here]
        facts.sense[here] = sense
        if turns:
            sectors = (_fold(actor.shape) * actor.angle / (2 * math.pi) % 1 * _SECTORS).astype(np.int64)
            facts.sector[here] = np.broadcast_to(sectors[:, None], tokens)[here]
            facts.before[1:][here[1:]] = np.broadcast_to(sectors[:-1, None], facts.before[1:].shape)[here[1:]]
        rates = np.stack(
            (
                (then[0] - seen[0]) / _STEP,
                (then[1] - seen[1]) / _STEP,
                np.log(then[2] / seen[2]) / _STEP,
                (then[3] - seen[3]) / _STEP / 4,
            ),
            axis=-1,
        )
        facts.rates[here] = np.broadcast_to(rates[:, None], (*tokens, _RATES))[here]
    return facts


def frame_targets(scene: Scene, moments: Array, *, square: bool) -> Array:
    """(N, 13): place, log radius and turn of the things' middle and whether it is seen; how they and the camera move.

    Places in half widths and half heights from the middle of what is shown. The last 7 take two frames to tell.
    """
    span = 1.0 if square else scene.aspect
    now, then = scene.actors(moments), scene.actors(moments + np.float32(_STEP))
    places = np.stack(_seen(scene, now, moments)).mean(0)  # (4, N): x, y, radius, angle
    later = np.stack(_seen(scene, then, moments + np.float32(_STEP))).mean(0)
    first = now[0]
    fold = _fold(first.shape)
    camera, after = scene.camera(moments), scene.camera(moments + np.float32(_STEP))
    rates = (later - places) / _STEP
    facts = (
        (places[0] - scene.aspect / 2) * 2 / span,
        (places[1] - 0.5) * 2,
        np.log(places[2] / 0.12),
        np.cos(fold * places[3]),
        np.sin(fold * places[3]),
        first.visible.astype(np.float32),
        rates[0],
        rates[1],
        np.log(later[2] / places[2]) / _STEP,
        rates[3] / 4,
        (after.x - camera.x) / _STEP * 2,
        (after.y - camera.y) / _STEP * 2,
        np.log(after.zoom / camera.zoom) / _STEP,
    )
    return np.stack(facts, axis=-1).astype(np.float32)


def _fold(shape: str) -> int:
    """In how many angles the shape looks the same; 0 where no angle is told."""
    return (3 if shape == "triangle" else 1) * (shape in TURNING_SHAPES)


def _seen(scene: Scene, actors: Sequence[Actor], moments: Array) -> list[tuple[Array, Array, Array, Array]]:
    """Place, radius and angle of each actor on the screen at the moments."""
    camera = scene.camera(moments)
    return [
        (
            (actor.x - camera.x) * camera.zoom + scene.aspect / 2,
            (actor.y - camera.y) * camera.zoom + 0.5,
            actor.radius * camera.zoom,
            actor.angle,
        )
        for actor in actors
    ]
