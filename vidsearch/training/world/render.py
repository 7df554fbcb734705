"""A scene at given moments → its pictures, anti-aliased, in numpy.

Each shape is a signed distance in its own unit frame (negative inside), evaluated only on a patch around the thing;
each background is a product of one-dimensional waves. One picture of 64 × 64 costs well under 0.2 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vidsearch.training.world.scene import Actor, Array, Camera, Scene

PAINT: dict[str, tuple[float, float, float]] = {
    "red": (0.87, 0.10, 0.10),
    "orange": (1.00, 0.55, 0.05),
    "yellow": (0.98, 0.93, 0.10),
    "green": (0.08, 0.65, 0.15),
    "blue": (0.10, 0.25, 0.90),
    "purple": (0.62, 0.10, 0.75),
    "white": (0.98, 0.98, 0.98),
    "black": (0.03, 0.03, 0.03),
}


def _circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - 0.95


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.sqrt(x * x + y * y) - 0.75) - 0.22


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.82


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 0.29, y - 0.98), np.maximum(x - 0.98, y - 0.29))


def _triangle(x: Array, y: Array) -> Array:
    """Equilateral, one corner up; the y axis points down."""
    return np.maximum(np.abs(x) * 0.866 - (y - 0.12) * 0.5, y - 0.12) - 0.55


def _star(x: Array, y: Array) -> Array:
    """Five points, one up: the larger of two half planes in a folded tenth of the plane."""
    fold = 2 * math.pi / 5
    angle = np.arctan2(x, -y)
    radius = np.sqrt(x * x + y * y)
    angle = np.abs(angle - fold * np.round(angle / fold))  # 0 at a point, π/5 in a notch
    # the edge from the point (1.05, angle 0) to the notch (0.45, angle π/5)
    px, py = radius * np.cos(angle), radius * np.sin(angle)
    nx, ny = 0.45 * math.cos(fold / 2) - 1.05, 0.45 * math.sin(fold / 2)
    length = math.hypot(nx, ny)
    return ((px - 1.05) * ny - py * nx) / length


def _heart(x: Array, y: Array) -> Array:
    """Two discs over a square standing on its corner."""
    x = np.abs(x)
    lobes = np.sqrt((x - 0.45) ** 2 + (y + 0.35) ** 2) - 0.52
    body = (x + np.abs(y - 0.02)) * 0.7071 - 0.66
    return np.minimum(lobes, np.where(y > -0.4, body, 1.0))


def _arrow(x: Array, y: Array) -> Array:
    """Pointing up: a head and a shaft."""
    x = np.abs(x)
    head = np.maximum(x * 0.75 - (y + 1.0) * 0.66, y + 0.05)
    shaft = np.maximum(x - 0.27, np.abs(y - 0.4) - 0.58)
    return np.minimum(head, shaft)


DISTANCE: dict[str, Callable[[Array, Array], Array]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "arrow": _arrow,
}


def render(
    scene: Scene, moments: Array, width: int, height: int, view: tuple[float, float, float] = (0.0, 0.0, 1.0)
) -> Array:
    """The pictures of `scene` at `moments` (N,) in [0, 1] → (N, height, width, 3) float32 RGB in [0, 1].

    The picture always shows the whole scene, squeezed where width / height differs from its aspect. `view` = (left,
    top, part) shows a part of it: a crop of `part` of both sides whose corner is at (left, top), in parts of the sides.
    """
    u = np.asarray(moments, dtype=np.float32)
    left, top, part = view
    columns = ((np.arange(width, dtype=np.float32) + 0.5) / width * part + left) * scene.aspect
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height * part + top
    pixel = 0.5 * (scene.aspect / width + 1 / height) * part
    camera = scene.camera(u)
    pictures = _background(scene, camera, columns, rows, pixel)
    for actor in scene.actors(u):
        _draw(pictures, actor, scene, camera, columns, rows, pixel)
    return np.clip(pictures, 0.0, 1.0, out=pictures)


def _wave(position: Array, period: float, pixel: Array) -> Array:
    """A square wave of ±1 along `position`, its edges as soft as a pixel."""
    steep = period / (2 * math.pi * np.maximum(pixel, 1e-6))
    return np.clip(np.sin(position * (2 * math.pi / period)) * steep, -1.0, 1.0)


def _background(scene: Scene, camera: Camera, columns: Array, rows: Array, pixel: float) -> Array:
    moments = len(camera.x)
    kind = scene.meaning.background
    tone = scene.tone.astype(np.float32)
    shape = (moments, len(rows), len(columns), 3)
    if kind == "plain":
        return np.broadcast_to(tone, shape).copy()
    if (
        np.ptp(camera.x) == 0 and np.ptp(camera.y) == 0 and np.ptp(camera.zoom) == 0
    ):  # a still camera: one picture will do
        camera = Camera(camera.x[:1], camera.y[:1], camera.zoom[:1])
    zoom = camera.zoom[:, None]
    period = scene.texture_period
    x = (columns[None] - scene.aspect / 2) / zoom + camera.x[:, None] + scene.texture_phase[0] * period
    y = (rows[None] - 0.5) / zoom + camera.y[:, None] + scene.texture_phase[1] * period
    soft = pixel / zoom
    if kind == "striped":
        texture = np.broadcast_to(_wave(x, period, soft)[:, None, :], (len(x), len(rows), len(columns)))
    elif kind == "chequered":
        texture = _wave(x, period * 1.5, soft)[:, None, :] * _wave(y, period * 1.5, soft)[:, :, None]
    else:  # dotted: round islands of cos + cos
        turn = 2 * math.pi / period
        hills = np.cos(x * turn)[:, None, :] + np.cos(y * turn)[:, :, None]
        steep = period / (2 * math.pi * np.maximum(soft, 1e-6))[..., None]
        texture = np.clip((hills - 0.75) * steep, -1.0, 1.0)
    one = texture[..., None] * np.float32(scene.texture_contrast) + tone
    if len(one) == moments:
        return np.ascontiguousarray(one, dtype=np.float32)
    return np.broadcast_to(one.astype(np.float32), shape).copy()


def _draw(
    pictures: Array, actor: Actor, scene: Scene, camera: Camera, columns: Array, rows: Array, pixel: float
) -> None:
    """Paint one thing over the pictures, in place; only the patch around it is touched."""
    x = (actor.x - camera.x) * camera.zoom + scene.aspect / 2
    y = (actor.y - camera.y) * camera.zoom + 0.5
    radius = actor.radius * camera.zoom
    paint = np.clip(np.array(PAINT[actor.colour]) + scene.tint, 0, 1).astype(np.float32)
    step_x, step_y = columns[1] - columns[0], rows[1] - rows[0]
    reach = 1.45 * radius + 2 * pixel  # the corner of a square is 1.42 from its middle in the worst turn
    lefts = np.clip(np.floor((x - reach - columns[0]) / step_x), 0, len(columns)).astype(int)
    rights = np.clip(np.ceil((x + reach - columns[0]) / step_x) + 1, 0, len(columns)).astype(int)
    tops = np.clip(np.floor((y - reach - rows[0]) / step_y), 0, len(rows)).astype(int)
    bottoms = np.clip(np.ceil((y + reach - rows[0]) / step_y) + 1, 0, len(rows)).astype(int)
    distance = DISTANCE[actor.shape]
    for n in np.flatnonzero(actor.visible & (lefts < rights) & (tops < bottoms)):
        dx = (columns[None, lefts[n] : rights[n]] - x[n]) / radius[n]
        dy = (rows[tops[n] : bottoms[n], None] - y[n]) / radius[n]
        cos, sin = math.cos(actor.angle[n]), math.sin(actor.angle[n])
        inside = 0.5 - distance(dx * cos + dy * sin, dy * cos - dx * sin) * (radius[n] / pixel)
        cover = np.clip(inside, 0.0, 1.0)[..., None]
        patch = pictures[n, tops[n] : bottoms[n], lefts[n] : rights[n]]
        patch += cover * (paint - patch)


def to_uint8(pictures: Array) -> NDArray[np.uint8]:
    """[0, 1] → 0 … 255, rounded; the shape stays."""
    return (pictures * 255 + 0.5).astype(np.uint8)
