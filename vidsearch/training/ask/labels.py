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
    """What lies under each token: classes (N, P) and measures (N, P, k). -1: no label.

    The angle of what turns is a class, the sector in which it lies: predicting its sine and cosine with the least
    absolute error, a network kept to the mean of all angles and never learned to see it.
    """

    colour: NDArray[np.int64]  # 0: nothing
    shape: NDArray[np.int64]
    sector: NDArray[np.int64]  # of things that turn
    before: NDArray[np.int64]  # the sector at the moment before
    sense: NDArray[np.int64]
    places: Array
    rates: Array


@dataclass(frozen=True, slots=True)
class _Grid:
    """The middles of side × side tokens, (P,), in units of the picture's height, and the width that they cover."""

    x: Array
    y: Array
    side: int
    span: float


@dataclass(frozen=True, slots=True)
class _Shown:
    """Place, radius and angle of a thing on the screen, (N,) each."""

    x: Array
    y: Array
    radius: Array
    angle: Array


def token_labels(scene: Scene, moments: Array, side: int, *, square: bool) -> TokenLabels:
    """The labels of side × side tokens at the moments (N,); `square`: of the middle square, not the whole frame."""
    grid = _grid(scene, side, square=square)
    tokens = (len(moments), side * side)
    labels = TokenLabels(
        colour=np.zeros(tokens, np.int64),
        shape=np.zeros(tokens, np.int64),
        sector=np.full(tokens, -1),
        before=np.full(tokens, -1),
        sense=np.full(tokens, -1),
        places=np.zeros((*tokens, _PLACES), np.float32),
        rates=np.zeros((*tokens, _RATES), np.float32),
    )
    sense = 1 + TURNS.index(scene.meaning.motion) if scene.meaning.motion in TURNS else 0
    nearest = np.full(tokens, _REACH, np.float32)
    later = moments + np.float32(_STEP)
    actors = scene.actors(moments)
    shown_later = _on_screen(scene, scene.actors(later), later)
    for actor, now, then in zip(actors, _on_screen(scene, actors, moments), shown_later, strict=True):
        away = _distances(grid, now)
        here = (away < nearest) & actor.visible[:, None]
        nearest[here] = away[here]
        labels.colour[here] = 1 + COLOURS.index(actor.colour)
        labels.shape[here] = 1 + SHAPES.index(actor.shape)
        labels.places[here] = _places(grid, now)[here]
        labels.rates[here] = np.broadcast_to(_rates(now, then)[:, None], (*tokens, _RATES))[here]
        labels.sense[here] = sense
        if sense:
            _label_sectors(labels, actor, here)
    return labels


def _grid(scene: Scene, side: int, *, square: bool) -> _Grid:
    left = (scene.aspect - 1) / 2 if square else 0.0
    span = 1.0 if square else scene.aspect
    columns = (np.arange(side, dtype=np.float32) + 0.5) / side * span + left
    rows = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = (axis.reshape(-1) for axis in np.meshgrid(columns, rows))
    return _Grid(x, y, side, span)


def _distances(grid: _Grid, now: _Shown) -> Array:
    """(N, P) of the tokens from the middle of a thing, in its radii."""
    across, along = grid.x - now.x[:, None], grid.y - now.y[:, None]
    away = np.hypot(across, along) / now.radius[:, None]
    # At least the token in which the middle lies, however small the thing is.
    inside = (abs(across) <= grid.span / grid.side / 2) & (abs(along) <= 0.5 / grid.side)
    return np.where(inside, 0.5, away)


def _places(grid: _Grid, now: _Shown) -> Array:
    """(N, P, 3): where the middle of a thing lies, in half widths of a token; its log radius."""
    across = (now.x[:, None] - grid.x) * grid.side / grid.span / 2
    along = (now.y[:, None] - grid.y) * grid.side / 2
    return np.stack((across, along, np.broadcast_to(_log_radius(now)[:, None], across.shape)), axis=-1)


def _log_radius(now: _Shown) -> Array:
    return np.log(now.radius / 0.12)


def _rates(now: _Shown, then: _Shown) -> Array:
    """(N, 4): how place, radius and angle of a thing change."""
    changes = (
        (then.x - now.x) / _STEP,
        (then.y - now.y) / _STEP,
        np.log(then.radius / now.radius) / _STEP,
        (then.angle - now.angle) / _STEP / 4,
    )
    return np.stack(changes, axis=-1)


def _label_sectors(labels: TokenLabels, actor: Actor, here: NDArray[np.bool_]) -> None:
    """Write the sector of a thing that turns, and the one before, into its tokens `here` (N, P)."""
    sectors = (_fold(actor.shape) * actor.angle / (2 * math.pi) % 1 * _SECTORS).astype(np.int64)
    labels.sector[here] = np.broadcast_to(sectors[:, None], here.shape)[here]
    labels.before[1:][here[1:]] = np.broadcast_to(sectors[:-1, None], here[1:].shape)[here[1:]]


def frame_targets(scene: Scene, moments: Array, *, square: bool) -> Array:
    """(N, 13): place, log radius and turn of the things' middle and whether it is seen; how they and the camera move.

    Places in half widths and half heights from the middle of what is shown. The last 7 take two frames to tell.
    """
    span = 1.0 if square else scene.aspect
    later = moments + np.float32(_STEP)
    actors = scene.actors(moments)
    first, fold = actors[0], _fold(actors[0].shape)
    now, then = _mean(_on_screen(scene, actors, moments)), _mean(_on_screen(scene, scene.actors(later), later))
    camera, after = scene.camera(moments), scene.camera(later)
    targets = (
        (now.x - scene.aspect / 2) * 2 / span,
        (now.y - 0.5) * 2,
        _log_radius(now),
        np.cos(fold * now.angle),
        np.sin(fold * now.angle),
        first.visible.astype(np.float32),
        *_rates(now, then).T,
        (after.x - camera.x) / _STEP * 2,
        (after.y - camera.y) / _STEP * 2,
        np.log(after.zoom / camera.zoom) / _STEP,
    )
    return np.stack(targets, axis=-1).astype(np.float32)


def _mean(shown: Sequence[_Shown]) -> _Shown:
    return _Shown(*np.stack([(each.x, each.y, each.radius, each.angle) for each in shown]).mean(0))


def _fold(shape: str) -> int:
    """In how many angles the shape looks the same; 0 if it looks the same in all that are drawn."""
    return (3 if shape == "triangle" else 1) * (shape in TURNING_SHAPES)


def _on_screen(scene: Scene, actors: Sequence[Actor], moments: Array) -> list[_Shown]:
    """Each actor as the camera shows it at the moments."""
    camera = scene.camera(moments)
    return [
        _Shown(
            (actor.x - camera.x) * camera.zoom + scene.aspect / 2,
            (actor.y - camera.y) * camera.zoom + 0.5,
            actor.radius * camera.zoom,
            actor.angle,
        )
        for actor in actors
    ]
