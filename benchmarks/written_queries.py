"""What written queries find: python benchmarks/written_queries.py [--real CLIPS]

Asks each query below of a library of the rendered clips (examples/clips, mobileviclip-nano) or of real ones (CLIPS,
with conse-lite2), and prints what should come first, what comes, and whether that is right: a table in docs/queries.md.
A file that is to be found is named by the beginning of its name; several are alternatives; `-` is nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from vidsearch import (
    IndexOptions,
    find_moments,
    format_query,
    index_folders,
    open_clip_embedder,
    open_library,
    open_text_embedder,
    parse_query,
)
from vidsearch.records import Hit
from vidsearch.store.interface import Library

RENDERED_CLIPS = Path(__file__).parents[1] / "examples" / "clips"
RENDERED = (
    ("a red square", "red-square"),
    ("a red square moving left -moving right", "red-square-left"),
    ('a red square 0.5:"moving right"', "red-square-right"),
    ("a circle -purple -blue -white", "three-green-circles"),
    ('a star -"a yellow star"', "blue-circle-overtakes-white-star white-star"),
    ("like:yellow-star-blinks.mp4 sources:no", "yellow-star"),
    ("like:red-square-left.mp4 -like:red-square-right.mp4", "red-square-left"),
    ("like:purple-arrow-clockwise.mp4 sources:no", "purple-arrow-counter"),
    ("like:blue-heart-grows.mp4 -like:blue-heart-shrinks.mp4 sources:no", "blue-heart-right-then-grows"),
    ("a yellow star name:*bounces*", "yellow-star-bounces"),
    ("a square min-duration:10", "long"),
    ("a green triangle max-duration:5 name:two-*", "two-green-triangles"),
    ("two purple circles moving up -moving down", "two-purple-circles-up"),
    ("an orange ring name:*counter*", "orange-ring-circles-counter"),
    ("a red square min-height:1080", "-"),
)
REAL = (
    ("a dog", "sam2_dog torchcodec_dog videollama_skate internvid_dog"),
    ("a dog -snow", "sam2_dog torchcodec_dog videollama_skate"),
    ("a dog 0.7:snow", "internvid_dog"),
    ("a dog 0.7:skateboard", "videollama_skate"),
    ("a beach -horse", "editly_beach editly_lofoten"),
    ("a horse 0.5:beach", "vid2vid_horse"),
    ("basketball -gym", "askanything_basketball mmaction_basketball"),
    ("a flower -insect", "mdn_flower"),
    ("like:sam2_dog_and_woman.mp4 sources:no", "torchcodec_dog internvid_dog videollama_skate"),
    ("like:exoplayer_seabirds.avi sources:no 0.5:bird", "imageio_cockatoo"),
    ("a bird reader:pyav", "exoplayer_seabirds"),
    ("a car ext:avi", "bgslib_road"),
    ("a cat name:cotracker_*", "cotracker_cat"),
    (
        "like:tokenflow_wolf.mp4 -like:videollama_skateboarding_dog.mp4 sources:no",
        "internvid_dog torchcodec_dog sam2_dog",
    ),
    ("a street min-height:1080", "yolov4_pedestrian exoplayer_london udacity_highway"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, metavar="CLIPS", help="the real clips, with conse-lite2")
    parser.add_argument("--home", type=Path, help="a library that has them already")
    args = parser.parse_args()
    model, clips, queries = (
        ("conse-lite2", args.real, REAL) if args.real else ("mobileviclip-nano", RENDERED_CLIPS, RENDERED)
    )
    clips, home = clips.absolute(), args.home and args.home.absolute()
    os.chdir(clips)  # queries name clips from here on
    with tempfile.TemporaryDirectory() as folder, open_library(home or Path(folder)) as library:
        if home is None:
            fill(library, clips, model)
        show(library, model, queries)


def fill(library: Library, clips: Path, model: str) -> None:
    embedder = open_clip_embedder(model)
    for _ in index_folders([clips], library, lambda: embedder, IndexOptions(model, embedder.frame_spec)):
        pass


def show(library: Library, model: str, queries: tuple[tuple[str, str], ...]) -> None:
    embedder = open_text_embedder(model)
    right = 0
    print("| query | should come | comes | |")
    print("|---|---|---|---|")
    for text, expected in queries:
        query = parse_query(text)
        hits = find_moments(library, embedder, query)
        fits = is_right(hits, expected.split())
        right += fits
        shown = ", ".join(dict.fromkeys(hit.path.stem for hit in hits[:3])) or "nothing"
        wanted = "nothing" if expected == "-" else " or ".join(f"{name}…" for name in expected.split())
        print(f"| `{format_query(query)}` | {wanted} | {shown} | {'yes' if fits else 'no'} |")
    print(f"\n{model}: {right} of {len(queries)} queries have first what should come first.")


def is_right(hits: list[Hit], expected: list[str]) -> bool:
    if expected == ["-"]:
        return not hits
    return bool(hits) and any(hits[0].path.name.startswith(name) for name in expected)


if __name__ == "__main__":
    main()
