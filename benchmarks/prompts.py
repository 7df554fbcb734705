"""Do several prompts for a query find more?  python benchmarks/prompts.py [--real MANIFEST --home LIBRARY --model M]

Ranks videos by their best windows for queries whose video is known: with the words alone, and with the mean of the
vectors of several sentences around them, as is usual with CLIP. Prints R@1, R@5 and the mean rank of each. Without
options: the rendered clips of examples/clips with mobileviclip-nano. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from written_queries import RENDERED_CLIPS, fill

from vidsearch import open_library, open_text_embedder
from vidsearch.embedding.interface import TextEmbedder
from vidsearch.store.interface import Library

PROMPTS = {
    "the words alone": ("{}",),
    "a video of": ("a video of {}",),
    "two prompts": ("{}", "a video of {}"),
    "four prompts": ("{}", "a video of {}", "a photo of {}", "a clip that shows {}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, metavar="MANIFEST", help="a list of clips, each with its query")
    parser.add_argument("--home", type=Path, help="a library that holds them")
    parser.add_argument("--model", default="mobileviclip-nano")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_library(args.home or Path(folder)) as library:
        if args.real:
            clips = json.loads(args.real.read_text(encoding="utf-8"))["files"]
            asked = [(clip["query"], args.real.parent / clip["path"]) for clip in clips if clip.get("query")]
        else:
            fill(library, RENDERED_CLIPS, args.model)
            known = json.loads((RENDERED_CLIPS / "queries.json").read_text(encoding="utf-8"))
            asked = [(entry["query"], RENDERED_CLIPS / entry["file"]) for entry in known]
        figures = measure(library, open_text_embedder(args.model), asked)
    print("| prompts | R@1 | R@5 | mean rank |")
    print("|---|---|---|---|")
    for name, (r1, r5, mean) in figures.items():
        print(f"| {name} | {r1:.3f} | {r5:.3f} | {mean:.2f} |")
    print(json.dumps({"benchmark": "prompts", "model": args.model, "figures": figures}))


def measure(
    library: Library, embedder: TextEmbedder, asked: list[tuple[str, Path]]
) -> dict[str, tuple[float, float, float]]:
    held = {row.path: library.window_vectors(row.path, model=embedder.model) for row in library.videos()}
    vectors = {path: windows.vectors for path, windows in held.items() if windows is not None}
    asked = [(text, path.absolute()) for text, path in asked if path.absolute() in vectors]
    return {name: figures_of(prompts, vectors, embedder, asked) for name, prompts in PROMPTS.items()}


def figures_of(
    prompts: tuple[str, ...],
    vectors: dict[Path, NDArray[np.float32]],
    embedder: TextEmbedder,
    asked: list[tuple[str, Path]],
) -> tuple[float, float, float]:
    ranks = []
    for text, right in asked:
        query = embedder.embed([prompt.format(text) for prompt in prompts]).mean(axis=0)
        scores = {path: float((rows @ query).max()) for path, rows in vectors.items()}
        ranks.append(1 + sum(score > scores[right] for score in scores.values()))
    found = np.array(ranks)
    return float((found == 1).mean()), float((found <= 5).mean()), float(found.mean())


if __name__ == "__main__":
    main()
