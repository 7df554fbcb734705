"""The main job on a folder of your own: fetch conse-lite2 if it is not here, index the folder, open a result page.

    make demo VIDEOS=~/Videos QUERY="a dog on the beach"
    python examples/demo_own_videos.py ~/Videos "a dog on the beach" [--home FOLDER] [--no-open]

conse-lite2 knows things, animals, vehicles, instruments, food and scenes, and no actions. Its parts come from the
package index that pip uses; nothing else is fetched, and nothing is uploaded. The library and the model go into
demo-videos-library beside this folder and stay there: another query on the same folder indexes only what is new.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODEL = "conse-lite2"
EXIT_NOTHING_FOUND = 1
EXIT_SOME_FAILED = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, help="a folder of videos, or one video")
    parser.add_argument("query", nargs="?", default="", help="what to look for")
    parser.add_argument("--home", type=Path, default=HERE.parent / "demo-videos-library", help="where the library goes")
    parser.add_argument("--no-open", action="store_true", help="only write the result page")
    given = parser.parse_args()
    videos, home = given.videos.expanduser().resolve(), given.home.resolve()
    if not given.query.strip():
        sys.exit('Say what to look for, as in: make demo VIDEOS=~/Videos QUERY="a dog on the beach"')
    if not videos.exists():
        sys.exit(f"There is nothing at {videos}; give the folder with your videos.")
    if vidsearch("models", "info", MODEL, home=home, quiet=True) != 0:
        run("models", "pull", MODEL, "--yes", home=home)
    run("index", str(videos), home=home, passing=(EXIT_SOME_FAILED,))
    page = home / "results.html"
    run("query", given.query, "--under", str(videos), "--page", str(page), home=home, passing=(EXIT_NOTHING_FOUND,))
    if not given.no_open:
        webbrowser.open(page.as_uri())


def run(*arguments: str, home: Path, passing: tuple[int, ...] = ()) -> None:
    """Run the program as one would type it; end with its exit code unless that is 0 or one to pass over."""
    print(f"\n$ vidsearch {' '.join(arguments)}", flush=True)
    code = vidsearch(*arguments, home=home)
    if code not in (0, *passing):
        sys.exit(code)


def vidsearch(*arguments: str, home: Path, quiet: bool = False) -> int:
    """The exit code of the program, run with the demo's library and model."""
    environment = {name: value for name, value in os.environ.items() if name != "VIDSEARCH_MODEL_DIR"}
    environment |= {"VIDSEARCH_HOME": str(home), "VIDSEARCH_MODEL": MODEL}
    sink = subprocess.DEVNULL if quiet else None
    command = [sys.executable, "-m", "vidsearch", *arguments]
    return subprocess.run(command, env=environment, stdout=sink, stderr=sink, check=False).returncode


if __name__ == "__main__":
    main()
