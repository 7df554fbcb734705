"""The main job on the clips beside this file, with the bundled models: index, six queries, two questions about a hit.

    make demo            # or: python examples/demo.py [--home FOLDER]

The right answers stand in clips/queries.json. They were written from what the clips show, not from what the model says,
and the count at the end is whatever comes out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CLIPS = HERE / "clips"
MODEL = "mobileviclip-nano"
ASK_MODEL = "mobilevideogpt-nano"


def vidsearch(*arguments: str, home: Path, check: bool = True) -> str:
    """Runs the real program in a process of its own and returns its stdout; stderr goes to the terminal."""
    command = [sys.executable, "-m", "vidsearch", *arguments]
    environment = {
        **os.environ,
        "VIDSEARCH_HOME": str(home),
        "VIDSEARCH_MODEL": MODEL,
        "VIDSEARCH_ASK_MODEL": ASK_MODEL,
    }
    print(f"\n$ vidsearch {' '.join(shown(argument) for argument in arguments)}", flush=True)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if check and done.returncode not in (0, 1):
        sys.exit(done.returncode)
    return done.stdout


def shown(argument: str) -> str:
    relative = os.path.relpath(argument) if argument.startswith("/") else argument
    return f'"{relative}"' if " " in relative else relative


def is_right(hit: dict[str, Any] | None, answer: dict[str, Any]) -> bool:
    """The first hit is the right file and, in a file of several events, covers the middle of the right one."""
    if hit is None or Path(hit["path"]).name != answer["file"]:
        return False
    middle_s = (answer["start_s"] + answer["end_s"]) / 2
    return bool(hit["start_s"] <= middle_s <= hit["end_s"])


def ask_one(answer: dict[str, Any], home: Path) -> bool:
    hits = json.loads(vidsearch("query", answer["query"], "--json", "-k", "1", home=home))["hits"]
    hit = hits[0] if hits else None
    found = (
        f"{Path(hit['path']).name} {hit['start_s']:.1f}-{hit['end_s']:.1f} s ({hit['score']:.2f})" if hit else "nothing"
    )
    right = is_right(hit, answer)
    wanted = "" if right else f"; right would be {answer['file']} {answer['start_s']:.0f}-{answer['end_s']:.0f} s"
    print(f"  {'right' if right else 'WRONG'}: {found}{wanted}  - {answer['why']}")
    return right


def ask_about_hit(asks: list[tuple[str, str]], home: Path) -> int:
    """Asks about hit 1 of the query before; the number of right answers."""
    said = vidsearch("ask", "1", *(question for question, _ in asks), home=home).splitlines()
    right = 0
    for (question, truth), answer in zip(asks, said, strict=True):
        is_true = answer.strip().lower() == truth
        print(f"  {'right' if is_true else 'WRONG'}: {question} {answer}" + ("" if is_true else f"; true is: {truth}"))
        right += is_true
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=HERE.parent / "demo-library", help="where the demo's library goes")
    home: Path = parser.parse_args().home.resolve()
    shutil.rmtree(home, ignore_errors=True)  # the demo starts from nothing, so that what it shows is what it did

    vidsearch("index", str(CLIPS), home=home)
    answers = json.loads((CLIPS / "queries.json").read_text())
    found = answered = asked = 0
    for answer in answers:
        found += ask_one(answer, home)
        if answer["asks"]:
            answered += ask_about_hit(answer["asks"], home)
            asked += len(answer["asks"])
    print(f"\n{found} of {len(answers)} queries found the right moment first.")
    print(f"{answered} of {asked} questions about a moment got a true answer.")
    page = home / "results.html"
    vidsearch("query", answers[0]["query"], "--page", str(page), home=home)
    print(f"Result page: {page}\nLibrary:     {home}")


if __name__ == "__main__":
    main()
