"""The demo's clips: what each shows, written as H.264 files with the queries a person can check by looking.

    python -m vidsearch.training.world.clips examples/clips

Every thing on its background is a look that training never shows (`scene.look_is_held_out`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsearch.training.world.files import DEMO_FORMATS, write_video
from vidsearch.training.world.scene import Scene, SceneAttributes

SEED = 7
EVENT_S = 8.0  # an event of a long video: as long as a window of the index


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """What to search for, and where the right answer is; `why` says what must be understood."""

    query: str
    file: str
    start_s: float
    end_s: float
    why: str
    asks: tuple[tuple[str, str], ...] = ()  # questions about the moment, and what is true of it


def _short_clips() -> dict[str, tuple[SceneAttributes, float]]:
    """File name → what it shows and for how many seconds."""
    square = ("square", "red", "dotted")
    star = ("star", "yellow", "plain")
    arrow = ("arrow", "purple", "dotted")
    heart = ("heart", "blue", "chequered")
    ring = ("ring", "orange", "plain")
    cross = ("cross", "green", "chequered")
    white_star, blue_circle = ("star", "white"), ("circle", "blue")
    return {
        "red-square-left": (SceneAttributes(*square, "left", size="large"), 4.0),
        "red-square-right": (SceneAttributes(*square, "right", size="large"), 4.0),
        "red-square-left-then-up": (SceneAttributes(*square, "left", "up", size="large"), 6.0),
        "red-square-up-then-left": (SceneAttributes(*square, "up", "left", size="large"), 6.0),
        "yellow-star-blinks": (SceneAttributes(*star, "blink", size="large"), 4.0),
        "yellow-star-bounces": (SceneAttributes(*star, "bounce", size="small"), 5.0),
        "yellow-star-vanishes": (SceneAttributes(*star, "vanish", size="large"), 4.0),
        "purple-arrow-clockwise": (SceneAttributes(*arrow, "spin-clockwise", size="large"), 4.0),
        "purple-arrow-counter-clockwise": (SceneAttributes(*arrow, "spin-counter-clockwise", size="large"), 4.0),
        "blue-heart-grows": (SceneAttributes(*heart, "grow"), 5.0),
        "blue-heart-shrinks": (SceneAttributes(*heart, "shrink"), 5.0),
        "blue-heart-right-then-grows": (SceneAttributes(*heart, "right", "grow"), 6.0),
        "green-triangle-overtakes": (
            SceneAttributes("triangle", "green", "striped", "overtake", other_shape="circle", other_colour="white"),
            5.0,
        ),
        "two-green-triangles-down": (SceneAttributes("triangle", "green", "striped", "down", count=2), 4.0),
        "orange-ring-circles-clockwise": (SceneAttributes(*ring, "orbit-clockwise", size="small"), 5.0),
        "orange-ring-circles-counter-clockwise": (SceneAttributes(*ring, "orbit-counter-clockwise", size="small"), 5.0),
        "two-purple-circles-up": (SceneAttributes("circle", "purple", "striped", "up", count=2), 4.0),
        "two-purple-circles-down": (SceneAttributes("circle", "purple", "striped", "down", count=2), 4.0),
        "green-cross-camera-pans-left": (SceneAttributes(*cross, "pan-left", size="large"), 5.0),
        "green-cross-camera-zooms-in": (SceneAttributes(*cross, "zoom-in"), 5.0),
        "white-star-overtakes-blue-circle": (
            SceneAttributes(*white_star, "striped", "overtake", other_shape="circle", other_colour="blue"),
            5.0,
        ),
        "blue-circle-overtakes-white-star": (
            SceneAttributes(*blue_circle, "striped", "overtake", other_shape="star", other_colour="white"),
            5.0,
        ),
        "three-green-circles-appear": (SceneAttributes("circle", "green", "plain", "appear", count=3), 4.0),
        "yellow-square-still": (SceneAttributes("square", "yellow", "dotted", "still", size="small"), 3.0),
    }


def _long_clips() -> dict[str, list[SceneAttributes]]:
    """File name → its events, each of EVENT_S seconds."""
    return {
        "long-four-events": [
            SceneAttributes("heart", "black", "striped", "bounce", count=2),
            SceneAttributes("cross", "purple", "chequered", "down", size="large"),
            SceneAttributes("arrow", "black", "chequered", "spin-counter-clockwise", size="large"),
            SceneAttributes("heart", "orange", "plain", "vanish", size="large"),
        ],
        "long-five-events": [
            SceneAttributes("star", "purple", "striped", "right", size="large"),
            SceneAttributes("ring", "red", "chequered", "grow", "shrink"),
            SceneAttributes("square", "orange", "chequered", "pan-right", size="small"),
            SceneAttributes("cross", "black", "chequered", "still", size="large"),
            SceneAttributes("star", "purple", "striped", "left", size="large"),
        ],
    }


def queries() -> list[DemoQuery]:
    """Six queries with one right answer each; most have a twin that differs only in what happens over time.

    About one of the moments two questions are asked.
    """
    short = {name: seconds for name, (_, seconds) in _short_clips().items()}

    def about(query: str, name: str, why: str, *asks: tuple[str, str]) -> DemoQuery:
        return DemoQuery(query, f"{name}.mp4", 0.0, short[name], why, asks)

    return [
        about(
            "a red square first moves left and then moves up",
            "red-square-left-then-up",
            "order in time: another clip shows up, then left",
        ),
        about(
            "a purple arrow turning counter-clockwise",
            "purple-arrow-counter-clockwise",
            "sense of rotation: another clip shows the same arrow turning clockwise",
        ),
        about(
            "a white star overtakes a blue circle",
            "white-star-overtakes-blue-circle",
            "who passes whom: another clip shows the circle overtaking the star",
        ),
        about(
            "two purple circles moving down",
            "two-purple-circles-down",
            "direction: another clip shows them moving up",
            ("how many circles are there?", "two"),
            ("which way does the circle move?", "down"),
        ),
        about(
            "the camera zooms in on a green cross",
            "green-cross-camera-zooms-in",
            "camera: another clip pans over the same cross",
        ),
        DemoQuery(
            "a purple star moving left on a striped background",
            "long-five-events.mp4",
            4 * EVENT_S,
            5 * EVENT_S,
            "the moment within a long video: at its start the same star moves right",
        ),
    ]


def meanings() -> dict[str, list[SceneAttributes]]:
    """File name → the meanings it shows, one after the other."""
    return {name: [meaning] for name, (meaning, _) in _short_clips().items()} | _long_clips()


def write_clips(folder: Path) -> list[Path]:
    """Write every clip and `queries.json` into `folder`; the paths of the clips."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    plans = {name: [(meaning, seconds)] for name, (meaning, seconds) in _short_clips().items()}
    plans |= {name: [(meaning, EVENT_S) for meaning in events] for name, events in _long_clips().items()}
    for number, (name, plan) in enumerate(plans.items()):
        form = DEMO_FORMATS[number % len(DEMO_FORMATS)]
        path = folder / f"{name}.mp4"
        scenes = [
            (Scene(meaning, np.random.default_rng((SEED, number, event)), aspect=form.aspect), seconds)
            for event, (meaning, seconds) in enumerate(plan)
        ]
        write_video(path, scenes, form)
        written.append(path)
    rows = [
        {"query": q.query, "file": q.file, "start_s": q.start_s, "end_s": q.end_s, "why": q.why, "asks": q.asks}
        for q in queries()
    ]
    (folder / "queries.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the clips into the folder named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vidsearch.training.world.clips", description="Write the demo's clips."
    )
    parser.add_argument("folder", type=Path)
    write_clips(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
