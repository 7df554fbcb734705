"""What tells the same footage from other footage: python benchmarks/near_duplicates.py CLIPS --model NAME

Makes copies of real clips that people make (re-encoded, smaller, cropped, trimmed, brighter) and mirrored ones, embeds
all of them with a model, and prints how near each copy's windows are to those of its original and to all others. The
figures are those of docs/queries.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from vidsearch.embedding.embedder import open_clip_embedder
from vidsearch.embedding.videos import EmbedSpec, VideoEmbedder
from vidsearch.records import IndexedVideo, VideoFile, WindowSpec, WindowVectors
from vidsearch.workflows.sameness import Footage, Likeness, likeness

VARIANTS = {
    "re-encoded": ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-crf", "35"],
    "320 wide": ["-vf", "scale=320:-2", "-crf", "28"],
    "cropped 5 %": ["-vf", "crop=trunc(iw*0.95/2)*2:trunc(ih*0.95/2)*2", "-crf", "23"],
    "cropped 10 %": ["-vf", "crop=trunc(iw*0.9/2)*2:trunc(ih*0.9/2)*2", "-crf", "23"],
    "cropped 20 %": ["-vf", "crop=trunc(iw*0.8/2)*2:trunc(ih*0.8/2)*2", "-crf", "23"],
    "trimmed 1.7 s": ["-ss", "1.7", "-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-crf", "23"],
    "brighter": ["-vf", "eq=brightness=0.08,scale=trunc(iw/2)*2:trunc(ih/2)*2", "-crf", "23"],
    "mirrored": ["-vf", "hflip,scale=trunc(iw/2)*2:trunc(ih/2)*2", "-crf", "23"],
}
LENGTH_S = "8"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=12, help="so many of the smaller clips")
    args = parser.parse_args()
    files = sorted((path for path in args.clips.iterdir() if path.is_file()), key=lambda path: path.stat().st_size)
    files = files[: max(args.count, len(files) // 2)]  # the smaller half: encoding takes most of the time
    files = [files[index] for index in np.linspace(0, len(files) - 1, args.count).astype(int)]
    embedder = open_clip_embedder(args.model)
    spec = EmbedSpec(args.model, embedder.frame_spec, WindowSpec(frames=embedder.frames))
    with tempfile.TemporaryDirectory() as folder, VideoEmbedder(spec, embedder) as videos:
        originals = {file.stem: embed(videos, cut(file, Path(folder) / f"{file.stem}.mp4", [])) for file in files}
        rows = [others(originals)]
        for name, options in VARIANTS.items():
            copies = {
                file.stem: embed(videos, cut(file, Path(folder) / f"{file.stem} {name}.mp4", options)) for file in files
            }
            rows.append(summary(name, [best(copies[stem], originals[stem]) for stem in originals]))
    print("| windows against | cosine: lowest, median, highest | pictures | upright less mirrored | the same |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(row)
    print(json.dumps({"benchmark": "near_duplicates", "model": args.model, "clips": len(files)}))


def cut(source: Path, target: Path, options: list[str]) -> Path:
    """The first seconds of a clip, encoded anew."""
    options = options or ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2", "-crf", "18"]
    seek, options = (options[:2], options[2:]) if options[0] == "-ss" else ([], options)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *seek, "-i", str(source), "-t", LENGTH_S, "-an"]
    subprocess.run(
        [*command, *options, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(target)], check=True
    )
    return target


def embed(videos: VideoEmbedder, path: Path) -> WindowVectors:
    status = path.stat()
    video: IndexedVideo = videos.embed(VideoFile(path, status.st_size, status.st_mtime_ns))
    spans = np.array([(window.start_s, window.end_s) for window in video.windows])
    lengths = np.linalg.norm(video.vectors, axis=1, keepdims=True)
    return WindowVectors(
        video.file, video.fingerprint, spans, np.asarray(video.vectors / lengths, np.float32), video.pictures
    )


def best(copy: WindowVectors, original: WindowVectors) -> list[Likeness]:
    """Of each window of the copy, how like it the likest of the original is."""
    return [max(windows, key=lambda it: it.pictures) for windows in likenesses(copy, original)]


def likenesses(one: WindowVectors, other: WindowVectors) -> list[list[Likeness]]:
    """Of each window of one video, how like it each of the other is."""
    assert one.pictures is not None and other.pictures is not None
    found = likeness(Footage(one.vectors, one.pictures), Footage(other.vectors, other.pictures))
    rows = zip(found.cosine, found.pictures, found.mirrored, strict=True)
    return [[Likeness(*values) for values in zip(*row, strict=True)] for row in rows]


def others(originals: dict[str, WindowVectors]) -> str:
    """The likest of all windows of other clips, for each window."""
    found = []
    for stem, mine in originals.items():
        rest = [other for name, other in originals.items() if name != stem]
        of_rest = [likenesses(mine, other) for other in rest]
        found += [
            max((it for other in of_rest for it in other[row]), key=lambda it: it.cosine)
            for row in range(len(mine.spans_s))
        ]
    return summary("other clips, the likest", [found])


def summary(name: str, clips: list[list[Likeness]]) -> str:
    windows = [window for clip in clips for window in clip]
    columns = [
        [window.cosine for window in windows],
        [window.pictures for window in windows],
        [window.pictures - window.mirrored for window in windows],
    ]
    shown = [f"{min(it):.3f}, {np.median(it):.3f}, {max(it):.3f}" for it in columns]
    same = sum(window.is_same for window in windows)
    return f"| {name} | {' | '.join(shown)} | {same} of {len(windows)} |"


if __name__ == "__main__":
    main()
