"""What do still windows save, and are the vectors that they take over theirs? `python benchmarks/indexing.py --still`.

Indexes three kinds of footage with `--still embed` and with `--still reuse`:

- a fixed camera: a real picture with the grain of a sensor, coded by H.264; somebody walks through it twice;
- a talk: real pictures as slides, one every 25 s, and the same with a moving speaker in a corner;
- the real clips of FOLDER.

Printed are the windows, how many are still, the processor seconds of both, and the lowest cosine of a vector that was
taken over with the own one. Then all pairs of windows of a real clip are compared: from which difference of their
frames on are there vectors that are not alike (cosine below 0.999)? `NOISE` in vidsearch/video/still.py is well below.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from machine import finish
from numpy.typing import NDArray

from vidsearch import dirs
from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.executors import PooledExecutor
from vidsearch.embedding.interface import ClipEmbedder
from vidsearch.embedding.videos import EmbedSpec
from vidsearch.records import FrameSpec, IndexedVideo, VideoFile, WindowSpec
from vidsearch.video.discover import find_videos
from vidsearch.video.pool import DecodePool, WindowDecoded
from vidsearch.video.reader import open_reader
from vidsearch.video.still import NOISE, difference

ALIKE = 0.999
FPS, WIDTH, HEIGHT = 10, 640, 360
Picture = NDArray[np.uint8]
Window = tuple[Picture, NDArray[np.float32]]  # its frames (T, H, W, 3) and its vector


def main(folder: Path, model: str, jobs: int) -> None:
    """`model`: one that is here; random weights would say nothing of the vectors."""
    embedder = open_clip_embedder(model, models_dir=dirs.models_dir())
    spec = EmbedSpec(model, embedder.frame_spec, WindowSpec(frames=embedder.frames))
    with tempfile.TemporaryDirectory() as made:
        render(folder, Path(made))
        kinds = {path.stem: [path] for path in sorted(Path(made).iterdir())}
        kinds["real clips"] = [item.path for item in find_videos(folder) if isinstance(item, VideoFile)]
        rows = {name: saved(paths, spec, embedder, jobs) for name, paths in kinds.items()}
    print(f"{model} on {embedder.device}")
    print(f"{'footage':18}{'windows':>9}{'still':>7}{'embed':>9}{'reuse':>9}{'saved':>7}  lowest cosine")
    for name, row in rows.items():
        print(
            f"{name:18}{row['windows']:9}{row['still']:7}{row['embed_s']:8.1f}s{row['reuse_s']:8.1f}s"
            f"{1 - row['reuse_s'] / row['embed_s']:7.0%}  {row['lowest_cosine']:.5f}"
        )
    pairs = compare_pairs(kinds["real clips"], spec, embedder, jobs)
    finish("still windows", model=model, device=embedder.device, footage=rows, pairs=pairs)


# ── what is saved ────────────────────────────────────────────────────────────────────────────────────────────────────


def saved(paths: list[Path], spec: EmbedSpec, embedder: ClipEmbedder, jobs: int) -> dict[str, Any]:
    files = [VideoFile(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    own, embed_s = indexed(files, dataclasses.replace(spec, still="embed"), embedder, jobs)
    taken, reuse_s = indexed(files, spec, embedder, jobs)
    cosines = np.concatenate([(own[path].vectors * taken[path].vectors).sum(axis=1) for path in own])
    return {
        "windows": len(cosines),
        "still": sum(video.still_windows for video in taken.values()),
        "embed_s": embed_s,
        "reuse_s": reuse_s,
        "lowest_cosine": float(cosines.min()),
    }


def indexed(
    files: list[VideoFile], spec: EmbedSpec, embedder: ClipEmbedder, jobs: int
) -> tuple[dict[Path, IndexedVideo], float]:
    """The videos, and seconds of processors, the decoders' included; without the library, whose part is small."""
    before = os.times()
    events = PooledExecutor(spec, lambda: embedder, jobs).run(files)
    videos = {event.file.path: event for event in events if isinstance(event, IndexedVideo)}
    return videos, sum(os.times()[:4]) - sum(before[:4])


# ── where the threshold lies ─────────────────────────────────────────────────────────────────────────────────────────


def compare_pairs(paths: list[Path], spec: EmbedSpec, embedder: ClipEmbedder, jobs: int) -> dict[str, Any]:
    """All pairs of windows of a clip, windows every two seconds: difference of frames against cosine."""
    rows = []
    for windows in read_all(paths, spec, embedder, jobs):
        for number, (frames, vector) in enumerate(windows):
            rows += [(difference(frames, other), float(vector @ its)) for other, its in windows[:number]]
    differences, cosines = np.array(sorted(rows)).T
    unlike_from = differences[cosines < ALIKE].min()
    print(f"\n{len(rows)} pairs of windows of a clip; cosines below {ALIKE} from a difference of {unlike_from:.1f} on")
    for most in (2, 3, 4.5, 6, 8, 10, 15, 20):
        near = differences <= most
        lowest = f"{cosines[near].min():.5f}" if near.any() else "-"
        print(f"  differing by at most {most:4}: {int(near.sum()):5} pairs, lowest cosine {lowest}")
    return {"pairs": len(rows), "unlike_from": float(unlike_from), "noise": NOISE}


def read_all(paths: list[Path], spec: EmbedSpec, embedder: ClipEmbedder, jobs: int) -> Iterator[list[Window]]:
    files = [VideoFile(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    found: dict[Path, list[Window]] = {}
    window_spec = dataclasses.replace(spec.window_spec, stride_s=2.0)
    with DecodePool(jobs, spec.frame_spec, window_spec) as pool:
        for event in pool.decode(files):
            if isinstance(event, WindowDecoded):
                frames = event.clip.frames
                [vector] = embedder.embed(frames[np.newaxis])
                found.setdefault(event.file.path, []).append((frames, vector))
    yield from found.values()


# ── footage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def render(clips: Path, folder: Path) -> None:
    """A fixed camera of three minutes and talks of five slides, from pictures of the real clips."""
    pictures = [first_picture(path) for path in sorted(clips.iterdir())[:10]]
    walker = pictures[1][:160:2, 100:164:2]
    speaker = list(frames_of(sorted(clips.iterdir())[2], 40))
    write(folder / "fixed camera.mp4", camera(pictures[0], walker))
    write(folder / "slides.mp4", (pictures[3 + number // (25 * FPS)] for number in range(5 * 25 * FPS)))
    write(folder / "slides, speaker.mp4", talk(pictures[3:8], speaker))


def camera(room: Picture, walker: Picture) -> Iterator[Picture]:
    grain = np.random.default_rng(7)
    height, width = walker.shape[:2]
    for number in range(180 * FPS):
        picture = room + grain.normal(0, 3, (HEIGHT, WIDTH, 1))
        for begins in (60 * FPS, 130 * FPS):
            at = 8 * (number - begins)
            if 0 <= at < WIDTH - width:
                picture[240 : 240 + height, at : at + width] = walker
        yield picture.clip(0, 255).astype(np.uint8)


def talk(slides: list[Picture], speaker: list[Picture]) -> Iterator[Picture]:
    for number in range(5 * 25 * FPS):
        picture = slides[number // (25 * FPS)].copy()
        picture[-90:, -160:] = speaker[number % len(speaker)][::4, ::4]
        yield picture


def first_picture(path: Path) -> Picture:
    return next(frames_of(path, 1))


def frames_of(path: Path, count: int) -> Iterator[Picture]:
    with open_reader(path, FrameSpec(WIDTH, "as-is")) as reader:
        for picture in reader.frames_at(reader.starts_s[:count].tolist()):
            rows, columns = np.arange(HEIGHT) * len(picture) // HEIGHT, np.arange(WIDTH) * picture.shape[1] // WIDTH
            yield picture[rows][:, columns]


def write(path: Path, pictures: Iterator[Picture]) -> None:
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "25"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 5 * FPS
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
