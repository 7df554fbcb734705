"""Does an evaluation cost more than indexing the same videos?

    python benchmarks/evaluation.py [--clips 60] [--model mobileviclip-nano] [--rounds 3]

Held-out clips of the synthetic world in MSR-VTT's layout, none longer than a window, so that both embed each once:
`vidsearch evaluate retrieval` against `vidsearch index --jobs 1`, each a process of its own with an empty home. Rounds
alternate, ratios are taken within a round. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import finish, model_with_random_weights

from vidsearch.training.world.stand_ins import write_msrvtt


def timed(arguments: list[str], models_dir: Path) -> float:
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "VIDSEARCH_HOME": home, "VIDSEARCH_MODEL_DIR": str(models_dir)}
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vidsearch", *arguments], env=env, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--model", default="mobileviclip-nano")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    with model_with_random_weights(given.model) as models_dir, tempfile.TemporaryDirectory() as folder:
        data = write_msrvtt(Path(folder) / "MSRVTT", given.clips)
        model = ["--model", given.model]
        evaluate = ["evaluate", "retrieval", "msrvtt-1ka", "--data", str(data), *model]
        index = ["index", str(data / "videos"), "--jobs", "1", *model]
        rounds = []
        for number in range(given.rounds):
            index_s, evaluate_s = timed(index, models_dir), timed(evaluate, models_dir)
            rounds.append((index_s, evaluate_s, evaluate_s / index_s))
            print(f"round {number + 1}: index {index_s:.1f} s, evaluate {evaluate_s:.1f} s, ratio {rounds[-1][2]:.2f}")
    finish(
        "evaluation",
        model=given.model,
        clips=given.clips,
        index_s=statistics.median(own[0] for own in rounds),
        evaluate_s=statistics.median(own[1] for own in rounds),
        ratio=statistics.median(own[2] for own in rounds),
        load=os.getloadavg()[0],
    )


if __name__ == "__main__":
    main()
