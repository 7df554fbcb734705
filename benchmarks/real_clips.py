"""Do real clips index without a failure, with the right durations? A line a file of the shared test material.

    python benchmarks/real_clips.py [../shared/videos]

Reads the folder's manifest.json, indexes its clips/ with the bundled model (which understands nothing of them) into a
library of its own and compares each duration with the manifest's. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import finish


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[2] / "shared" / "videos")
    folder: Path = parser.parse_args().folder.resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "VIDSEARCH_HOME": home, "VIDSEARCH_MODEL": "mobileviclip-nano"}
        program = [sys.executable, "-m", "vidsearch"]
        subprocess.run([*program, "index", str(folder / "clips")], env=environment, check=False)
        listed = subprocess.run([*program, "videos", "--json"], env=environment, capture_output=True, check=True)
    videos = {Path(video["path"]).name: video for video in json.loads(listed.stdout)["videos"]}

    off = []
    print(f"{'file':36} {'reader':7} {'manifest':>9} {'measured':>9} {'frames off':>10} {'windows':>8}  state")
    for entry in sorted((e for e in manifest["files"] if e["path"].startswith("clips/")), key=lambda e: e["name"]):
        video = videos[entry["name"]]
        frames_off = abs((video["duration_s"] or 0) - entry["duration"]) * entry["fps"]
        if frames_off > 1.01:
            off.append(entry["name"])
        print(
            f"{entry['name']:36} {video['reader'] or '':7} {entry['duration']:9.3f} {video['duration_s'] or 0:9.3f} "
            f"{frames_off:10.2f} {video['windows']:8}  {video['state']} {video['error'] or ''}"
        )
    failed = [name for name, video in videos.items() if video["state"] != "indexed"]
    print(f"{len(videos)} clips, {len(failed)} failed, {len(off)} more than one frame off: {', '.join(off) or 'none'}")
    finish("real clips", clips=len(videos), failed=failed, more_than_a_frame_off=off)


if __name__ == "__main__":
    main()
