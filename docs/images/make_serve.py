"""The pictures of the page in README and docs/serve.md, as a browser shows it.

    python docs/images/make_serve.py [../shared/videos] [--query WORDS] [--video-query WORDS]

Indexes those clips of the folder whose licence allows frames of them to be shown, with conse-lite2, which must be
installed, serves them and lets Chromium take three pictures: serve-search.jpg, serve-video.jpg and serve-phone.jpg, and
beside them serve.md with the source and licence of every clip in the folder. Needs Chromium and its driver (Debian:
apt-get install chromium chromium-driver) and selenium.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from make import HERE, MODEL, save_jpeg, showable, vidsearch
from selenium import webdriver

from vidsearch import dirs

LEAST_WINDOWS = 8  # of a video whose curve is worth looking at
READY = "return [...document.images].every((it) => it.complete) && !document.querySelector('.ghost') && "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE.parents[2] / "shared" / "videos")
    parser.add_argument("--query", default="a dog on the grass")
    parser.add_argument("--video-query", default="a water bottle", help="for the page of a video")
    given = parser.parse_args()
    folder = given.folder.resolve()
    clips = showable(folder)
    with tempfile.TemporaryDirectory() as place:
        videos, home = Path(place) / "videos", Path(place) / "home"
        videos.mkdir()
        for clip in clips.values():
            (videos / clip["name"]).symlink_to(folder / clip["path"])
        vidsearch("index", str(videos), home=home)
        environment = {
            **os.environ,
            "VIDSEARCH_HOME": str(home),
            "VIDSEARCH_MODEL_DIR": str(dirs.models_dir()),
            "VIDSEARCH_MODEL": MODEL,
        }
        command = [sys.executable, "-m", "vidsearch", "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            photograph(server.stdout.readline().strip(), given.query, given.video_query, Path(place))
        finally:
            server.terminate()
            server.wait()
    lines = [f"- `{clip['name']}`: github.com/{clip['source']['repo']}, {clip['licence']}" for clip in clips.values()]
    text = "`serve-*.jpg` show the page of `vidsearch serve`, made by `make_serve.py`, over\n\n"
    (HERE / "serve.md").write_text(text + "\n".join(lines) + "\n")


def photograph(url: str, query: str, video_query: str, place: Path) -> None:
    """The three pictures."""
    words, video_words = quote(query), quote(video_query)
    best = most_eventful(url, video_words)
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--hide-scrollbars", "--mute-audio", f"--user-data-dir={place / 'profile'}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses its sandbox to root
    browser = webdriver.Chrome(options=options)
    moment = f"t={best['best_s']}&end={best['end_s']}"
    try:
        take(
            browser,
            place,
            "serve-search",
            f"{url}?q={words}&all=true",
            (1200, 700),
            "dark",
            "document.querySelector('.card')",
        )
        curve = "document.querySelector('.curve .line') && document.getElementById('player').readyState > 1"
        take(
            browser,
            place,
            "serve-video",
            f"{url}video/{best['video']}?{moment}&q={video_words}",
            (1200, 790),
            "light",
            curve,
        )
        take(
            browser,
            place,
            "serve-phone",
            f"{url}?q={words}&all=true",
            (375, 700),
            "light",
            "document.querySelector('.card')",
        )
    finally:
        browser.quit()


def most_eventful(url: str, words: str) -> dict[str, Any]:
    """The hit whose video has the curve with the most to see: of many windows, alike in some and not in others."""

    def eventful(hit: dict[str, Any]) -> float:
        scores = [it["score"] for it in get(f"{url}api/videos/{hit['video']}/curve?q={words}")["windows"]]
        return statistics.pstdev(scores) if len(scores) >= LEAST_WINDOWS else -1.0

    return max(get(f"{url}api/search?q={words}&per_video=1")["hits"], key=eventful)


def get(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


def take(
    browser: webdriver.Chrome, place: Path, name: str, url: str, size: tuple[int, int], scheme: str, ready: str
) -> None:
    """One picture of an address, in a window of this size."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(url)
    end = time.monotonic() + 120
    while not browser.execute_script(READY + ready):
        if time.monotonic() > end:
            sys.exit(f"{url} never came to its end")
        time.sleep(0.2)
    time.sleep(1)
    browser.save_screenshot(str(place / f"{name}.png"))
    save_jpeg(place / f"{name}.png", HERE / f"{name}.jpg")


if __name__ == "__main__":
    main()
