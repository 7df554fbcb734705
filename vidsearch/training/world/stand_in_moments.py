"""Stand-ins for benchmarks of moments: videos of many events of the synthetic world, one after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsearch.training.world.eval_sets import retrieval_set
from vidsearch.training.world.files import FileFormat, write_video
from vidsearch.training.world.scene import Scene

FORMAT = FileFormat(128, 96, 12)
EVENT_S = 10.0


@dataclass(frozen=True, slots=True)
class Event:
    """What a sentence says is seen from `start_s` to `end_s`, and nowhere else in its video."""

    start_s: float
    end_s: float
    text: str


def write_events(path: Path, events: int, seed: int) -> list[Event]:
    """A video of so many events of `EVENT_S`, all different and held out."""
    drawn = retrieval_set(seed, events)
    scenes = [
        (Scene(meaning, np.random.default_rng((seed, number)), aspect=FORMAT.aspect), EVENT_S)
        for number, meaning in enumerate(drawn.meanings)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, scenes, FORMAT)
    return [Event(number * EVENT_S, (number + 1) * EVENT_S, text) for number, text in enumerate(drawn.texts)]


def write_charades(folder: Path, clips: int, seed: int = 2026, events: int = 3) -> Path:
    """Charades-STA: `NAME.mp4` and charades_sta_test.txt, a line an event; the folder. 36 events are six minutes."""
    lines = []
    for number in range(clips):
        name = f"V{number:04d}"
        for event in write_events(folder / "Charades_v1" / f"{name}.mp4", events, seed + number):
            lines.append(f"{name} {event.start_s:.1f} {event.end_s:.1f}##{event.text}.")
    (folder / "charades_sta_test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_qvhighlights(folder: Path, clips: int, seed: int = 2026, events: int = 15) -> Path:
    """QVHighlights: `VID.mp4` of 150 s and highlight_val_release.jsonl, a line an event; the folder."""
    lines: list[str] = []
    for number in range(clips):
        vid = f"standin{number:04d}_0.0_{events * EVENT_S:.1f}"
        for event in write_events(folder / "videos" / f"{vid}.mp4", events, seed + number):
            ids = list(range(int(event.start_s / 2), int(event.end_s / 2)))
            record = {
                "qid": len(lines),
                "query": event.text,
                "duration": int(events * EVENT_S),
                "vid": vid,
                "relevant_windows": [[int(event.start_s), int(event.end_s)]],
                "relevant_clip_ids": ids,
                "saliency_scores": [[4, 3, 2] if clip in ids[1:-1] else [3, 2, 2] for clip in ids],
            }
            lines.append(json.dumps(record))
    (folder / "highlight_val_release.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
