"""The pictures in README: a result page as a browser shows it.

    python docs/images/make.py [../shared/videos] [--query WORDS]

Indexes those clips of the folder whose licence (in its manifest.json) allows frames of them to be shown, with
conse-lite2, which must be installed, writes a result page and lets a browser without a window take its picture:
result-page.jpg, and beside it result-page.md with the source and licence of every clip in it. Needs Chromium (Debian:
apt install chromium) or Chrome.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import av

from vidsearch import dirs
from vidsearch.video.jpeg import to_jpeg

HERE = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHOWABLE = {"Apache-2.0", "BSD-3-Clause", "MIT", "CC0-1.0", "CC-BY-4.0"}
WIDTH_PX, HEIGHT_PX = 1120, 330
MODEL = "conse-lite2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parents[2] / "shared" / "videos")
    parser.add_argument("--query", default="a dog on the grass")
    given = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"No browser is here that takes a picture of a page ({', '.join(BROWSERS)}): apt install chromium")
    clips = showable(given.folder.resolve())
    with tempfile.TemporaryDirectory() as place:
        videos = Path(place) / "videos"
        videos.mkdir()
        for path in clips.values():
            (videos / path["name"]).symlink_to(given.folder.resolve() / path["path"])
        page = Path(place) / "page.html"
        vidsearch("index", str(videos), home=Path(place) / "home")
        hits = vidsearch("query", given.query, "-k", "3", "--page", str(page), "--json", home=Path(place) / "home")
        picture = Path(place) / "page.png"
        photograph(browser, page, picture)
        save_jpeg(picture, HERE / "result-page.jpg")
    shown = [clips[Path(hit["path"]).name] for hit in json.loads(hits)["hits"]]
    write_sources(given.query, shown)


def showable(folder: Path) -> dict[str, dict[str, Any]]:
    """The clips of a manifest whose footage may be shown, by name."""
    entries = json.loads((folder / "manifest.json").read_text())["files"]
    return {
        entry["name"]: entry
        for entry in entries
        if entry["path"].startswith("clips/") and entry["rights"] == "clear" and entry["licence"] in SHOWABLE
    }


def vidsearch(*arguments: str, home: Path) -> str:
    """Run the program with a library of its own and the models of this machine; its stdout."""
    environment = {
        **os.environ,
        "VIDSEARCH_HOME": str(home),
        "VIDSEARCH_MODEL_DIR": str(dirs.models_dir()),
        "VIDSEARCH_MODEL": MODEL,
    }
    command = [sys.executable, "-m", "vidsearch", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def photograph(browser: str, page: Path, picture: Path) -> None:
    """A PNG of a page."""
    options = ["--headless", "--hide-scrollbars", f"--window-size={WIDTH_PX},{HEIGHT_PX}", f"--screenshot={picture}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium refuses its sandbox to root
    profile = f"--user-data-dir={picture.parent / 'profile'}"
    subprocess.run([browser, *options, profile, page.as_uri()], check=True, capture_output=True, timeout=120)


def save_jpeg(picture: Path, target: Path) -> None:
    """The PNG as a smaller JPEG."""
    with av.open(str(picture)) as source:
        target.write_bytes(to_jpeg(next(source.decode(video=0)).to_ndarray(format="rgb24")))


def write_sources(query: str, shown: list[dict[str, Any]]) -> None:
    """Where the frames in the picture come from."""
    lines = [f"- `{clip['name']}`: github.com/{clip['source']['repo']}, {clip['licence']}" for clip in shown]
    text = f"`result-page.jpg` shows the result page for “{query}”, made by `make.py`, with one frame each of\n\n"
    (HERE / "result-page.md").write_text(text + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
