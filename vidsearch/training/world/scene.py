"""What a scene means, and where its things are at each moment.

`SceneAttributes` is what a caption can say; a variable that holds them is called `meaning`. `Scene` adds all that a
caption does not say (places, tones, speed), drawn from a random generator. Time is u in [0, 1], the part of the scene
that has passed, so that one scene renders at any frame rate and duration. Places are in units of the picture's height:
y in [0, 1] downwards, x in [0, aspect] to the right.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "ring", "arrow")
TURNING_SHAPES = ("triangle", "heart", "arrow")  # the sense of a turn shows in eight frames only on these
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
BACKGROUNDS = ("plain", "striped", "chequered", "dotted")
SIZES = ("small", "large")
COUNTS = (1, 2, 3)

DIRECTIONS = ("left", "right", "up", "down")
STEPS = (*DIRECTIONS, "grow", "shrink")  # what "first this, then that" is made of
TURNS = ("spin-clockwise", "spin-counter-clockwise")
SIMPLE = (*STEPS, *TURNS, "orbit-clockwise", "orbit-counter-clockwise", "blink", "bounce", "appear", "vanish", "still")
CAMERA = ("pan-left", "pan-right", "pan-up", "pan-down", "zoom-in", "zoom-out")
OVERTAKE = "overtake"
MOTIONS = (*SIMPLE, *CAMERA, OVERTAKE)
_RESIZING = ("grow", "shrink", "zoom-in", "zoom-out")  # no "small" or "large" with these: the size is the motion

Array = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class SceneAttributes:
    """All that a caption can mention. `then` makes "first `motion`, then `then`"; `other_*` is who is overtaken."""

    shape: str
    colour: str
    background: str
    motion: str
    then: str | None = None
    size: str | None = None
    count: int = 1
    other_shape: str | None = None
    other_colour: str | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of the world to draw from: which backgrounds, how many things, how often which kind of motion.

    `mix` holds the shares of simple motions, sequences and camera moves; overtaking has the rest. `turns` is a share of
    all that is set aside for things that turn, which are among the simple motions as well.
    """

    backgrounds: tuple[str, ...] = BACKGROUNDS
    groups: bool = True  # two or three things, besides one
    mix: tuple[float, float, float] = (0.50, 0.26, 0.13)
    turns: float = 0.0


WHOLE = Extent()
FIELDS = tuple(SceneAttributes.__dataclass_fields__)
_VALUES: tuple[tuple[object, ...], ...] = (
    SHAPES, COLOURS, BACKGROUNDS, MOTIONS, (None, *STEPS), (None, *SIZES), COUNTS, (None, *SHAPES), (None, *COLOURS),
)  # fmt: skip


FIELD_SIZES = tuple(len(values) for values in _VALUES)


def attribute_labels(meaning: SceneAttributes) -> NDArray[np.int16]:
    """One small number a field, in the order of FIELDS: equal attribute_labels are equal meanings. (9,) int16."""
    return np.array([values.index(v) for values, v in zip(_VALUES, astuple(meaning), strict=True)], dtype=np.int16)


def describes(mentions: NDArray[np.int16], mentioned: NDArray[np.bool_], facts: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which captions are true of which scenes: (N, M) for N scenes `facts` (N, 9) and M captions.

    A caption mentions `mentions` (M, 9) where `mentioned` (M, 9) is true and says nothing of the other fields.
    """
    return ((facts[:, None] == mentions[None]) | ~mentioned[None]).all(axis=-1)


def _bucket(*words: str | None) -> int:
    """A number below 2^32 that depends on the words alone, on every machine."""
    return int.from_bytes(hashlib.blake2b("|".join(w or "" for w in words).encode(), digest_size=4).digest(), "little")


def look_is_held_out(shape: str, colour: str, background: str) -> bool:
    """Looks (shape, colour, background) that no training scene has, whatever it does: one in twelve."""
    return _bucket("look", shape, colour, background) % 12 == 0


def is_held_out(meaning: SceneAttributes) -> bool:
    """The split. True for held-out looks, and for one in eight combinations of look and motion."""
    if look_is_held_out(meaning.shape, meaning.colour, meaning.background):
        return True
    return _bucket("all", meaning.shape, meaning.colour, meaning.background, meaning.motion, meaning.then) % 8 == 0


def allowed(meaning: SceneAttributes) -> bool:
    """Whether the meaning can be seen: turns need a shape that shows them, camera moves a textured background."""
    if meaning.motion in TURNS and meaning.shape not in TURNING_SHAPES:
        return False
    if meaning.background in _backgrounds_hiding(meaning.motion):
        return False
    sized = meaning.count == 1 and not _unsized(meaning.motion, meaning.then)
    if (meaning.size is not None) != sized:
        return False
    if meaning.motion == OVERTAKE:
        return meaning.count == 1 and meaning.other_colour not in (None, meaning.colour) and bool(meaning.other_shape)
    return meaning.other_shape is None and meaning.other_colour is None


def _backgrounds_hiding(motion: str) -> tuple[str, ...]:
    """The backgrounds on which a camera move looks like a move of the thing: upright stripes hide pans up and down."""
    if motion in ("pan-up", "pan-down"):
        return ("plain", "striped")
    return ("plain",) if motion in CAMERA else ()


def _unsized(motion: str, then: str | None) -> bool:
    return motion in _RESIZING or then in _RESIZING or motion == OVERTAKE


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def sample_motion(rng: np.random.Generator, extent: Extent = WHOLE) -> tuple[str, str | None]:
    """A motion and what follows it, in the mix of the extent."""
    if extent.turns and rng.random() < extent.turns:
        return _pick(rng, TURNS), None
    simple, sequence, camera = np.cumsum(extent.mix)
    kind = rng.random()
    if kind < simple:
        return _pick(rng, SIMPLE), None
    if kind < sequence:
        first, then = rng.permutation(len(STEPS))[:2]
        return STEPS[first], STEPS[then]
    return (_pick(rng, CAMERA), None) if kind < camera else (OVERTAKE, None)


def sample_meaning(
    rng: np.random.Generator,
    *,
    held_out: bool | None,
    motion: tuple[str, str | None] | None = None,
    extent: Extent = WHOLE,
) -> SceneAttributes:
    """A meaning from the training part (held_out=False), the held-out part (True) or the whole world (None)."""
    while True:
        doing, then = motion or sample_motion(rng, extent)
        colour = _pick(rng, COLOURS)
        alone = doing == OVERTAKE or not extent.groups or rng.random() < 0.6
        count = 1 if alone else int(rng.integers(2, 4))
        overtaking = doing == OVERTAKE
        meaning = SceneAttributes(
            shape=_pick(rng, TURNING_SHAPES if doing in TURNS else SHAPES),
            colour=colour,
            background=_pick(rng, tuple(b for b in extent.backgrounds if b not in _backgrounds_hiding(doing))),
            motion=doing,
            then=then,
            size=_pick(rng, SIZES) if count == 1 and not _unsized(doing, then) else None,
            count=count,
            other_shape=_pick(rng, SHAPES) if overtaking else None,
            other_colour=_pick(rng, tuple(c for c in COLOURS if c != colour)) if overtaking else None,
        )
        if held_out is None or is_held_out(meaning) == held_out:
            return meaning


@dataclass(frozen=True, slots=True)
class Actor:
    """One thing over time: arrays over the asked moments (N,). Angle in radians, clockwise on the screen."""

    shape: str
    colour: str
    x: Array
    y: Array
    radius: Array
    angle: Array
    visible: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Camera:
    """A point p of the world is seen at (p − centre)·zoom + middle of the picture; arrays over the moments (N,)."""

    x: Array
    y: Array
    zoom: Array


def _progress(u: Array, start: float, end: float) -> Array:
    """0 before `start`, 1 after `end`, straight in between."""
    return np.clip((u - start) / (end - start), 0.0, 1.0)


class Scene:
    """One clip of a meaning: what the meaning leaves open is drawn once, from `rng`."""

    def __init__(self, meaning: SceneAttributes, rng: np.random.Generator, aspect: float = 4 / 3) -> None:
        self.meaning = meaning
        self.aspect = aspect
        self.texture_period = rng.uniform(0.22, 0.30)  # of the height; a pan moves less than half of it a frame
        self.texture_phase = rng.uniform(0, 1, 2)
        self.tone = rng.uniform(0.38, 0.62) + rng.uniform(-0.06, 0.06, 3)
        self.texture_contrast = rng.uniform(0.10, 0.17)
        self.tint = rng.uniform(-0.05, 0.05, 3)  # the objects' paint varies a little
        self._draw_places(rng)

    def _draw_places(self, rng: np.random.Generator) -> None:
        meaning = self.meaning
        bounds = {"small": (0.08, 0.10), "large": (0.17, 0.21)}.get(meaning.size or "", (0.115, 0.135))
        self.radius = rng.uniform(*bounds)
        self.grow_range = (rng.uniform(0.055, 0.075), rng.uniform(0.17, 0.22) if meaning.count == 1 else 0.14)
        self.travel = rng.uniform(0.5, 0.75)  # of the free way
        self.slack = rng.uniform(0, 1, 2)
        self.turn = math.radians(rng.uniform(170, 280))
        self.orbit_radius = rng.uniform(0.22, 0.28)
        self.phase = rng.uniform(0, 1)
        self.beats = rng.uniform(1.9, 3.0)
        self.moment = rng.uniform(0.36, 0.64)
        self.tilt = rng.uniform(-0.15, 0.15)
        self.span = (rng.uniform(0.0, 0.06), rng.uniform(0.94, 1.0))  # when the motion starts and ends
        self.switch = rng.uniform(0.45, 0.55)  # between the two parts of a sequence
        self.forward = rng.random() < 0.5
        self.lane_gap = rng.uniform(0.28, 0.36)
        self.zoom_range = (rng.uniform(0.62, 0.7), rng.uniform(1.3, 1.45))
        self.offsets = self._formation(rng)
        x, y = self._way(np.linspace(0, 1, 41, dtype=np.float32))
        x0, x1, y0, y1 = self._free
        self.shift = (
            self._start(float(x.min()), float(x.max()), x0, x1, self.slack[0]),
            self._start(float(y.min()), float(y.max()), y0, y1, self.slack[1]),
        )

    def _formation(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Places of the members of a group around its middle, apart enough to be counted; (count, 2)."""
        count = self.meaning.count
        if count == 1:
            return np.zeros((1, 2))
        gap = 2.35 * max(self.radius, self.grow_range[1] if _unsized(self.meaning.motion, self.meaning.then) else 0.0)
        if count == 3 and rng.random() < 0.5:  # a triangle instead of a row
            around = np.array([[0, -0.6], [-0.55, 0.4], [0.55, 0.4]])
            return around * gap
        row = (np.arange(count) - (count - 1) / 2) * gap
        zero = np.zeros(count)
        return np.stack((row, zero) if rng.random() < 0.5 else (zero, row), axis=1)

    @property
    def _free(self) -> tuple[float, float, float, float]:
        """Where the middle of the group may be without leaving the picture: x from, to, y from, to."""
        reach = self.grow_range[1] if _unsized(self.meaning.motion, self.meaning.then) else self.radius
        half = np.abs(self.offsets).max(axis=0) + 1.05 * reach
        x0, x1 = min(half[0], self.aspect / 2), max(self.aspect - half[0], self.aspect / 2)
        y0, y1 = min(half[1], 0.5), max(1 - half[1], 0.5)
        return x0, x1, y0, y1

    def actors(self, u: Array) -> list[Actor]:
        """Everything on the stage at the moments u (N,) in [0, 1]."""
        if self.meaning.motion == OVERTAKE:
            return self._overtaking(u)
        x, y = self._way(u)
        x, y = x + self.shift[0], y + self.shift[1]
        radius, angle = self._radius(u), self._angle(u)
        visible = self._visible(u)
        meaning = self.meaning
        offsets = self.offsets.astype(np.float32)
        return [Actor(meaning.shape, meaning.colour, x + dx, y + dy, radius, angle, visible) for dx, dy in offsets]

    def camera(self, u: Array) -> Camera:
        """Where the camera looks at the moments u (N,)."""
        kind = self.meaning.motion if self.meaning.motion in CAMERA else ""
        p = _progress(u, *self.span)
        sway = (p - 0.5) * (0.45 + 0.2 * self.travel)
        x, y = np.full_like(u, self.aspect / 2), np.full_like(u, 0.5)
        zoom = np.ones_like(u)
        low, high = self.zoom_range
        if kind in ("pan-left", "pan-right"):
            x += sway if kind == "pan-right" else -sway
        elif kind in ("pan-up", "pan-down"):
            y += sway if kind == "pan-down" else -sway
        elif kind in ("zoom-in", "zoom-out"):
            q = p if kind == "zoom-in" else 1 - p
            zoom = np.asarray(low * (high / low) ** q, dtype=np.float32)
        return Camera(x, y, zoom)

    def _parts(self, u: Array) -> list[tuple[str, Array]]:
        """The steps of the motion, each with its own progress from 0 to 1."""
        start, end = self.span
        if self.meaning.then is None:
            return [(self.meaning.motion, _progress(u, start, end))]
        return [
            (self.meaning.motion, _progress(u, start, self.switch)),
            (self.meaning.then, _progress(u, self.switch, end)),
        ]

    def _way(self, u: Array) -> tuple[Array, Array]:
        """How the middle of the group moves, from an arbitrary origin."""
        x0, x1, y0, y1 = self._free
        x, y = np.zeros_like(u), np.zeros_like(u)
        for step, p in self._parts(u):
            if step in ("left", "right"):
                x += (p if step == "right" else -p) * self.travel * max(x1 - x0, 0.45)
            elif step in ("up", "down"):
                y += (p if step == "down" else -p) * self.travel * max(y1 - y0, 0.4)
            elif step.startswith("orbit"):
                sense = 1 if step == "orbit-clockwise" else -1
                theta = 2 * math.pi * self.phase + sense * 1.45 * self.turn * p
                x += self.orbit_radius * np.cos(theta)
                y += self.orbit_radius * np.sin(theta)
            elif step == "bounce":
                y -= 0.3 * np.abs(np.sin(math.pi * (self.beats * p + 0.25 * self.phase)))
        return x, y

    def _start(self, least: float, most: float, low: float, high: float, slack: float) -> float:
        """The shift that keeps a way from `least` to `most` within [low, high]: as drawn, or centred if too long."""
        room = (high - low) - (most - least)
        start = low + slack * room if room > 0 else low + room / 2
        if self.meaning.motion in CAMERA:  # a panning camera must keep the thing in view
            start = (low + high) / 2 + 0.2 * (slack - 0.5)
        return start - least

    def _radius(self, u: Array) -> Array:
        low, high = self.grow_range
        steps = [(s, p) for s, p in self._parts(u) if s in ("grow", "shrink")]
        if not steps:
            return np.full_like(u, self.radius)
        size = np.zeros_like(u)
        for step, p in steps:
            size += p if step == "grow" else -p
        if steps[0][0] == "shrink":
            size += 1.0
        return np.asarray(low * (high / low) ** size, dtype=np.float32)

    def _angle(self, u: Array) -> Array:
        angle = np.full_like(u, self.tilt)
        if self.meaning.motion in TURNS:
            sense = 1 if self.meaning.motion == "spin-clockwise" else -1
            angle += 2 * math.pi * self.phase + sense * self.turn * _progress(u, *self.span)
        return angle

    def _visible(self, u: Array) -> NDArray[np.bool_]:
        motion = self.meaning.motion
        if motion == "blink":
            return (self.beats * 1.2 * u + self.phase) % 1.0 < 0.5
        if motion == "appear":
            return u >= self.moment
        if motion == "vanish":
            return u < self.moment
        return np.ones(u.shape, dtype=bool)

    def _overtaking(self, u: Array) -> list[Actor]:
        """Two things on neighbouring lanes going one way; the first starts behind and ends in front."""
        p = _progress(u, *self.span)
        sense = 1.0 if self.forward else -1.0
        width = self.aspect - 2 * self.radius
        way = (p - 0.5) * width
        behind = (0.5 - p) * (0.45 + 0.2 * self.travel) * width  # how far the second is ahead of the first
        upper = 0.5 - self.lane_gap / 2 + 0.1 * (self.slack[1] - 0.5)
        lanes = (upper, upper + self.lane_gap) if self.slack[0] < 0.5 else (upper + self.lane_gap, upper)
        meaning = self.meaning
        looks = ((meaning.shape, meaning.colour), (str(meaning.other_shape), str(meaning.other_colour)))
        still = np.full_like(u, self.tilt)
        actors = []
        for (shape, colour), lane, side in zip(looks, lanes, (-0.5, 0.5), strict=True):
            along = 0.78 * way + side * behind
            x = np.asarray(self.aspect / 2 + sense * along, dtype=np.float32)
            y = np.full_like(u, lane)
            size, seen = np.full_like(u, self.radius), np.ones(u.shape, dtype=bool)
            actors.append(Actor(shape, colour, x, y, size, still, seen))
        return actors


_OPPOSITE = {"left": "right", "up": "down", "grow": "shrink", "appear": "vanish", "zoom-in": "zoom-out"}
_OPPOSITE |= {"pan-left": "pan-right", "pan-up": "pan-down", "spin-clockwise": "spin-counter-clockwise"}
_OPPOSITE |= {"orbit-clockwise": "orbit-counter-clockwise"}
_OPPOSITE |= {then: first for first, then in _OPPOSITE.items()}


def opposite(meaning: SceneAttributes) -> SceneAttributes | None:
    """The same things doing the contrary: other direction, other order, the other one in front; None without one."""
    if meaning.motion == OVERTAKE and meaning.other_shape and meaning.other_colour:
        return replace(
            meaning,
            shape=meaning.other_shape,
            colour=meaning.other_colour,
            other_shape=meaning.shape,
            other_colour=meaning.colour,
        )
    if meaning.then is not None:
        return replace(meaning, motion=meaning.then, then=meaning.motion)
    return replace(meaning, motion=_OPPOSITE[meaning.motion]) if meaning.motion in _OPPOSITE else None


def with_motion(meaning: SceneAttributes, motion: str, then: str | None, size: str) -> SceneAttributes:
    """The same look doing something else (not overtaking); a size is said where it can be."""
    sized = meaning.count == 1 and not _unsized(motion, then)
    plain = replace(meaning, motion=motion, then=then, other_shape=None, other_colour=None)
    return replace(plain, size=(meaning.size or size) if sized else None)


def similar_meanings(
    rng: np.random.Generator, members: int, *, held_out: bool | None, extent: Extent = WHOLE
) -> list[SceneAttributes]:
    """Meanings that differ in one respect, so that a batch asks for it: in the motion (mostly), in the look, or in all.

    All are distinct, allowed and of the part of the split that `held_out` names (see `sample_meaning`).
    """
    kind = rng.random()
    first = sample_meaning(rng, held_out=held_out, extent=extent)
    found = [first]
    for _ in range(40 * members):
        if len(found) == members:
            return found
        variant = _variant(rng, first, kind, held_out, extent, wants_opposite=len(found) == 1)
        fits = variant is not None and allowed(variant) and (held_out is None or is_held_out(variant) == held_out)
        if variant is not None and fits and variant not in found:
            found.append(variant)
    return found + [sample_meaning(rng, held_out=held_out, extent=extent) for _ in range(members - len(found))]


def _variant(
    rng: np.random.Generator,
    first: SceneAttributes,
    kind: float,
    held_out: bool | None,
    extent: Extent,
    *,
    wants_opposite: bool,
) -> SceneAttributes | None:
    if kind < 0.6:
        if wants_opposite and rng.random() < 0.7:
            return opposite(first)
        motion, then = sample_motion(rng, extent)
        return None if motion == OVERTAKE else with_motion(first, motion, then, _pick(rng, SIZES))
    if kind < 0.85:
        other = sample_meaning(rng, held_out=held_out, motion=(first.motion, first.then), extent=extent)
        field = _pick(rng, ("shape", "shape", "colour", "background", "count"))
        if field == "count":
            return replace(first, count=other.count, size=other.size)
        return replace(first, **{field: getattr(other, field)})
    return sample_meaning(rng, held_out=held_out, extent=extent)
